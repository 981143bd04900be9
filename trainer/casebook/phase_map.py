"""E1: the band law: what the first gradient says about the first steps and about the end."""

from __future__ import annotations

from typing import Any

from trainer.casebook.contract import Arm, Arms, Expectation, Experiment, Numbers, Policy
from trainer.casebook.settings import PLAIN, after_sft, pairs
from trainer.language import Setting

_LENGTHS = {"equal": (2, 2), "long chosen": (3, 1), "long rejected": (1, 3)}
_KINDS: dict[str, dict[str, Any]] = {
    "apart": {},
    "edited": {"edits": 3},
    "formatted": {"chosen_format": 1.0, "rejected_format": 0.5},
}
_TRAINING = {
    "max_steps": 24,
    "eval_steps": 8,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_ratio": 0.02,
    "probe_entanglement_pairs": 16,
    "probe_virtual_steps": 0,
}


SIDES = ("chosen", "rejected")


def _setting(kind: str, length: str) -> Setting:
    chosen, rejected = _LENGTHS[length]
    name = f"casebook-map-{kind}-{length}".replace(" ", "-")
    given = {"chosen_sentences": chosen, "rejected_sentences": rejected, **_KINDS[kind]}
    return pairs(name, f"{kind}, {length}", pairs=160, **given)


def signs(arms: Arms) -> dict[str, float | None]:
    """Return how often the band law is right about the first steps, and what S_0 says of the end.

    A side counts where its early change is beyond its own interval; a run is reversed where
    chosen falls and rejected rises, both beyond it.
    """
    right, total, reversed_ = dict.fromkeys(SIDES, 0), dict.fromkeys(SIDES, 0), 0
    late: list[tuple[float, bool]] = []
    for numbers in arms.values():
        share, slope = numbers.get("start/entanglement/share"), numbers.get("chosen")
        if share is not None and slope is not None:
            late.append((share, slope < 0))
        signs_seen = {side: _beyond_noise(numbers, side) for side in SIDES}
        reversed_ += signs_seen["chosen"] < 0 < signs_seen["rejected"]
        for side, observed in signs_seen.items():
            predicted = numbers.get(f"start/sign/{side}")
            if predicted is None or observed == 0:
                continue
            total[side] += 1
            right[side] += (observed > 0) == (predicted > 0)
    return {
        **{f"early right/{side}": float(right[side]) for side in right},
        **{f"early of/{side}": float(total[side]) for side in right},
        "early reversed": float(reversed_),
        "auc": area(late),
    }


def _beyond_noise(numbers: Numbers, side: str) -> float:
    """Return the early change of a side, 0 where its interval holds 0."""
    change, half = numbers.get(f"early/{side}"), numbers.get(f"early/± {side}")
    return 0.0 if change is None or half is None or abs(change) < half else change


def area(scored: list[tuple[float, bool]]) -> float | None:
    """Return the chance that a case scores below a non-case, ties half; None without both.

    Examples
    --------
    >>> area([(0.1, True), (0.2, True), (0.5, False)])
    1.0
    """
    cases = [score for score, case in scored if case]
    others = [score for score, case in scored if not case]
    if not cases or not others:
        return None
    wins = sum((one < other) + (one == other) / 2 for one in cases for other in others)
    return wins / (len(cases) * len(others))


EXPERIMENT = Experiment(
    name="E1",
    title="The phase map: kinds of pairs, lengths, with SFT before and without",
    claim="DPO only guarantees that the margin grows. Which sides move is decided by the gradients "
    "before the first step: chosen rises if and only if q > rho q*, rejected falls if and only if "
    "q < q*/rho; both in the wrong direction is impossible.",
    arms=tuple(
        Arm(
            f"{kind}, {length}{', sft' if epochs else ''}",
            f"{kind} pairs, {length}, {epochs} epochs of SFT on chosen",
            _setting(kind, length),
            after_sft(PLAIN, epochs) if epochs else Policy(PLAIN),
            _TRAINING,
        )
        for kind in _KINDS
        for length in _LENGTHS
        for epochs in (0, 2)
        if kind == "apart" or not epochs
    ),
    expectations=(
        Expectation("no arm is reversed early", ("across arms", "early reversed"), "<", 1.0),
        Expectation(
            "the first-order share separates the runs whose chosen side ends below its start "
            "(area under the curve)",
            ("across arms", "auc"),
            ">",
            0.9,
        ),
    ),
    derive=signs,
    kept=(
        *(f"{what}{side}" for what in ("early/", "early/± ", "start/sign/") for side in SIDES),
        "start/entanglement/share",
    ),
)
