"""What differs between runs, what their margin cost, and groups of seeds, as forest plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import plotly.graph_objects as go

from diagnostics.contrasts import Contrast, Difference
from diagnostics.figures import style
from diagnostics.figures.forest import Estimate, forest, span_of
from diagnostics.intervals import Interval, in_words
from diagnostics.seeds import GroupContrast
from diagnostics.tracks import QUANTITIES

RATIO = "nats of margin per nat of drift"
BEYOND, WITHIN = "beyond noise", "within noise"


@dataclass(frozen=True)
class Look:
    """How a run looks in every figure."""

    colour: str = style.REFERENCE
    symbol: str = "circle"


def panels(contrasts: Sequence[Contrast]) -> list[tuple[str, str]]:
    """Return the quantities with their units in which any two runs are compared."""
    found = {(one.quantity, one.unit) for contrast in contrasts for one in contrast.differences}
    return sorted(found, key=lambda pair: (pair[1], QUANTITIES.index(pair[0])))


def measure(contrasts: Sequence[Contrast]) -> str | None:
    """Return the run that all others are held against; None where there is no such one."""
    firsts = {one.first for one in contrasts}
    return firsts.pop() if len(firsts) == 1 else None


def differences(
    contrasts: Sequence[Contrast], quantity: str, unit: str, looks: Mapping[str, Look]
) -> go.Figure:
    """Return one quantity of every two runs that are compared: the second minus the first.

    All quantities of one unit share their range. Where all runs are held against one, a row is
    called by the other run only.
    """
    against = measure(contrasts)
    span = span_of([_row(*one, looks, names={}) for one in _found(contrasts, unit)])
    shown = [one for one in _found(contrasts, unit) if one[1].quantity == quantity]
    names = short_names(
        dict.fromkeys(name for contrast, _ in shown for name in (contrast.first, contrast.second))
    )
    rows = [_row(*one, looks, names) for one in shown]
    if against is not None:
        rows = [
            replace(row, label=names[one[0].second]) for row, one in zip(rows, shown, strict=True)
        ]
    return forest(rows, unit, span)


def efficiency(
    found: Sequence[tuple[str, Interval | None]], looks: Mapping[str, Look]
) -> go.Figure:
    """Return the margin gained for each nat of drift, the best run first; unknown ones left out."""
    names = short_names([name for name, _ in found])
    known = [(name, one) for name, one in found if one is not None]
    rows = [
        Estimate(
            names[name],
            one,
            looks.get(name, Look()).colour,
            looks.get(name, Look()).symbol,
            hover=f"<b>{style.plain(name)}</b><br>{in_words(one)} {RATIO}",
        )
        for name, one in sorted(known, key=lambda row: -row[1].value)
    ]
    return forest(rows, RATIO, sign=False)


def between(found: Sequence[GroupContrast], quantity: str) -> go.Figure:
    """Return one quantity of groups of seeds: each group's mean minus that of the first one."""
    every = [(one, d) for one in found for d in one.differences]
    span = span_of([_group_row(*one) for one in every])
    shown = [_group_row(*one) for one in every if one[1].quantity == quantity]
    return forest(shown, every[0][1].unit if every else "", span)


def short_names(names: Sequence[str] | Mapping[str, object]) -> dict[str, str]:
    """Return the names without the words that all of them begin with.

    Examples
    --------
    >>> short_names(["demo dpo", "demo kto"])
    {'demo dpo': 'dpo', 'demo kto': 'kto'}
    >>> short_names(["dpo", "dpo long"])
    {'dpo': 'dpo', 'dpo long': 'dpo long'}
    """
    split = [name.split(" ") for name in names]
    shared = 0
    while split and all(len(words) > shared + 1 for words in split):
        if len({words[shared] for words in split}) > 1:
            break
        shared += 1
    return {" ".join(words): " ".join(words[shared:]) for words in split}


def _found(contrasts: Sequence[Contrast], unit: str) -> list[tuple[Contrast, Difference]]:
    return [(one, d) for one in contrasts for d in one.differences if d.unit == unit]


def _row(
    contrast: Contrast, found: Difference, looks: Mapping[str, Look], names: Mapping[str, str]
) -> Estimate:
    first, second = (names.get(name, name) for name in (contrast.first, contrast.second))
    look = looks.get(contrast.second, Look())
    place = "" if contrast.matched == "step" else f" (at steps {contrast.steps[0]:,.0f} and "
    place += "" if contrast.matched == "step" else f"{contrast.steps[1]:,.0f})"
    return Estimate(
        f"{second} − {first}",
        found.interval,
        look.colour,
        look.symbol,
        filled=found.beyond_noise,
        word=BEYOND if found.beyond_noise else WITHIN,
        hover=(
            f"<b>{style.plain(contrast.second)}</b> minus {style.plain(contrast.first)}"
            f"<br>{found.quantity} {in_words(found.interval, sign=True)} {found.unit}"
            f"<br>at the same {contrast.matched}, {contrast.at:,.3g}{place}"
        ),
    )


def _group_row(contrast: GroupContrast, found: Difference) -> Estimate:
    return Estimate(
        contrast.second,
        found.interval,
        style.SIDE_COLOUR.get(found.quantity, style.REFERENCE),
        filled=found.beyond_noise,
        word=BEYOND if found.beyond_noise else WITHIN,
        hover=(
            f"<b>{style.plain(contrast.second)}</b> ({contrast.seeds[1]} seeds) minus "
            f"{style.plain(contrast.first)} ({contrast.seeds[0]} seeds)"
            f"<br>{found.quantity} {in_words(found.interval, sign=True)} {found.unit}"
        ),
    )
