"""Remedies for KTO: the weights of its two labels."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, sqrt

import numpy as np

from diagnostics.flags import flags, rounded
from diagnostics.lossremedies import PROBE_HINT
from diagnostics.reading import Reading
from diagnostics.remedies import STEP, method_name
from diagnostics.verdicts import Advice
from diagnostics.windows import desirable_ratio, hyper_number

# KTO's range of lambda_D n_D / (lambda_U n_U), arXiv 2402.01306 v5, Eq. 9.
KTO_RANGE = (1.0, 1.5)


def balance_labels(reading: Reading) -> Advice | None:
    """Return KTO's two weights such that lambda_D n_D / (lambda_U n_U) is in [1, 3/2]."""
    if method_name(reading) != "kto":
        return None
    low, high = KTO_RANGE
    expected = (
        "neither label drowns the other: chosen rises and rejected falls; drift changes little"
    )
    risk = "set one of the two weights only: both scale the loss"
    source = "arXiv 2402.01306 v5, Eq. 9 (TRL warns outside 1 to 1.33)"
    counts = label_counts(reading)
    if counts is None:
        return Advice(
            action=f"weigh the labels so that lambda_D n_D / (lambda_U n_U) is in {low:g} to "
            f"{high:g}; the log does not say how many examples n_D and n_U carry each label",
            strength="B",
            expected=expected,
            risk=risk,
            source=source,
            setting="desirable_weight",
        )
    share = counts[1] / counts[0]
    window = _kto_window(reading, share)
    desirable = sqrt(window[0] * window[1])
    weights = (desirable, 1.0) if desirable >= 1 else (1.0, 1 / desirable)
    names = [f"{counts[0]:,.0f} desirable", f"{counts[1]:,.0f} undesirable"]
    up, down = rounded(weights[0]), rounded(weights[1])
    return Advice(
        action=f"set the desirable weight to {up:g} and the undesirable weight to {down:g}: with "
        f"{' and '.join(names)} examples their ratio belongs between {rounded(window[0]):g} and "
        f"{rounded(window[1]):g}",
        strength="B",
        expected=expected,
        risk=risk,
        source=source,
        setting="desirable_weight",
        window=window,
        flags=flags(
            "kto",
            trl={"desirable_weight": up, "undesirable_weight": down},
            llamafactory={"kto_chosen_weight": up, "kto_rejected_weight": down},
            seesaw={"desirable_weight": up, "undesirable_weight": down},
        ),
    )


def _kto_window(reading: Reading, share: float) -> tuple[float, float]:
    """Return the range of lambda_D / lambda_U: the paper's, cut by the gradients' if they meet."""
    low, high = (end * share for end in KTO_RANGE)
    measured = desirable_ratio(reading)
    if measured is not None and max(low, measured.low) < min(high, measured.high):
        return max(low, measured.low), min(high, measured.high)
    return low, high


def label_counts(reading: Reading) -> tuple[float, float] | None:
    """Return how many desirable and undesirable examples the data holds, None if not logged."""
    run = reading.run
    data = run.header.get("data")
    places = [run.config, run.header, *([data] if isinstance(data, Mapping) else [])]
    # What the run log here and the logs of TRL call them.
    for names in (("desirable", "undesirable"), ("count/chosen", "count/rejected")):
        for place in places:
            found = [place.get(name) for name in names]
            if all(_positive(one) for one in found):
                desirable, undesirable = (float(str(one)) for one in found)
                return desirable, undesirable
        sums = [float(reading.column(name)[1].sum()) for name in names]
        if all(_positive(one) for one in sums):
            return sums[0], sums[1]
    return None


def _positive(value: object) -> bool:
    known = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return known and 0 < value < 1e15  # type: ignore[operator]


def weigh_undesirable(reading: Reading) -> Advice | None:
    """Return a heavier undesirable side for KTO, where the rejected side rises."""
    if method_name(reading) != "kto":
        return None
    now = hyper_number(reading, "undesirable_weight")
    window = desirable_ratio(reading)
    why = f", as a search step; {PROBE_HINT}"
    new = now * STEP
    if window is not None and isfinite(window.high):
        new = hyper_number(reading, "desirable_weight") / window.centre if window.centre else new
        why = (
            f": from the gradients at step {window.step}, rejected falls while lambda_D / lambda_U "
            f"is below {rounded(window.high):g}"
        )
    if not new > now:
        return None
    return Advice(
        action=f"raise the undesirable weight from {now:g} to {rounded(new):g}{why}",
        strength="D",
        expected="rejected falls or rises less, chosen rises less; drift changes little",
        risk="outside of 1 to 1.5 for the weighted counts one label may drown the other",
        source="arXiv 2402.01306 v5, Eq. 9; arXiv 2410.13828",
        setting="undesirable_weight",
        window=None if window is None else (window.low, window.high),
        flags=flags(
            "kto",
            trl={"undesirable_weight": rounded(new)},
            llamafactory={"kto_rejected_weight": rounded(new)},
            seesaw={"undesirable_weight": rounded(new)},
        ),
    )
