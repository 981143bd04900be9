"""Who leads in what beyond noise, in a few plain sentences that stand before all numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from diagnostics.contrasts import Contrast, Difference
from diagnostics.intervals import in_words, number
from diagnostics.naming import RegimeVerdict
from diagnostics.regimes import Regime
from diagnostics.seeds import GroupContrast
from diagnostics.tracks import QUANTITIES

# Which way is better, and how the best is said of a run.
BETTER = {"chosen": 1, "rejected": -1, "margin": 1, "drift": -1}
BEST = {
    "chosen": "keeps chosen highest",
    "rejected": "keeps rejected lowest",
    "margin": "has the largest margin",
    "drift": "has drifted least",
}
SIDES = {"chosen": "chosen", "rejected": "rejected", "margin": "the margin", "drift": "the drift"}
_MOST_NAMED = 4

_DOES = {
    Regime.IDEAL: "chosen rises and rejected falls in",
    Regime.BOTH_RISE: "both sides rise in",
    Regime.BOTH_FALL: "both sides fall in",
    Regime.REVERSED: "chosen falls and rejected rises in",
    Regime.MARGIN_LOSS: "the margin ends below its start in",
    Regime.MIXED: "the sides part into no clear quadrant in",
    Regime.FLAT: "neither side moves in",
    Regime.UNKNOWN: "nobody can tell the regime of",
}


@dataclass(frozen=True)
class _Duel:
    """One difference with the two runs it is between; second minus first."""

    first: str
    second: str
    found: Difference

    @property
    def better(self) -> str:
        """The run that is better, whether beyond noise or not."""
        up = self.found.interval.value * BETTER[self.found.quantity] > 0
        return self.second if up else self.first

    @property
    def worse(self) -> str:
        """The other run."""
        return self.first if self.better == self.second else self.second


def regimes_in_words(named: Sequence[tuple[str, RegimeVerdict]]) -> str:
    """Return what the runs do, one regime after the other, the ideal one first."""
    said = []
    for regime, words in _DOES.items():
        names = [name for name, verdict in named if verdict.regime is regime]
        if names:
            several = len(names) > _MOST_NAMED
            said.append(f"{words} {f'{len(names)} runs' if several else listed(names)}")
    return "; ".join(said)


def standings(contrasts: Sequence[Contrast], against_first: bool) -> tuple[str, ...]:
    """Return one sentence a quantity: who leads, or how all others stand to the first run."""
    said = []
    for quantity in QUANTITIES:
        duels = [
            _Duel(contrast.first, contrast.second, one)
            for contrast in contrasts
            for one in contrast.differences
            if one.quantity == quantity
        ]
        # Sizes in several units make no one order.
        if duels and len({duel.found.unit for duel in duels}) == 1:
            said.append(_against(quantity, duels) if against_first else _leader(quantity, duels))
    return tuple(said)


def group_standings(between: Sequence[GroupContrast]) -> tuple[str, ...]:
    """Return in what each group of seeds differs from the first one beyond the luck of seeds."""
    if not between:
        return ()
    first, said = between[0].first, []
    for one in between:
        clear = [
            f"{SIDES[found.quantity]} ({number(found.interval.value, sign=True)} {found.unit})"
            for found in one.differences
            if found.beyond_noise
        ]
        if clear:
            said.append(f"over seeds, {one.second} differs from {first} in {listed(clear)}")
    rest = len(between) - len(said)
    if rest:
        groups = "no group" if rest == len(between) else f"{rest} of {len(between)} groups"
        verb = "differs" if rest == len(between) else "do not differ"
        said.append(f"over seeds, {groups} {verb} from {first} beyond noise")
    return tuple(said)


def listed(names: Sequence[str], most: int = _MOST_NAMED) -> str:
    """Return names as a list in words.

    Examples
    --------
    >>> listed(["a", "b", "c"]), listed(["a", "b", "c", "d"], 2)
    ('a, b and c', 'a, b and 2 more')
    """
    shown = list(names[:most])
    if len(names) > most:
        shown.append(f"{len(names) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _leader(quantity: str, duels: Sequence[_Duel]) -> str:
    """Return who is better than every other run beyond noise, or who cannot be told apart."""
    names = list(dict.fromkeys(name for duel in duels for name in (duel.first, duel.second)))
    clear = [duel for duel in duels if duel.found.beyond_noise]
    if not clear:
        return f"{SIDES[quantity]}: no difference beyond noise between {listed(names)}"
    for name in names:
        wins = [duel for duel in clear if duel.better == name]
        if len(wins) == len(names) - 1:
            closest = min(wins, key=lambda duel: abs(duel.found.interval.value))
            return f"{name} {BEST[quantity]}{_ahead(closest, many=len(wins) > 1)}"
    lost = {duel.worse for duel in clear}
    unbeaten = [name for name in names if name not in lost]
    if len(unbeaten) < 2:
        return f"{SIDES[quantity]}: no run leads all others beyond noise"
    best = BEST[quantity].replace("keeps ", "keep ").replace("has ", "have ")
    return f"{listed(unbeaten)} {best}, and noise does not tell them apart"


def _ahead(closest: _Duel, *, many: bool) -> str:
    interval = closest.found.interval
    size = interval if interval.value > 0 else -interval
    rest = ", the next" if many else ""
    return f": {in_words(size)} {closest.found.unit} from {closest.worse}{rest}, beyond noise"


def _against(quantity: str, duels: Sequence[_Duel]) -> str:
    """Return which runs end higher and which lower than the first one, beyond noise."""
    first = duels[0].first
    groups: dict[str, list[str]] = {"higher": [], "lower": []}
    clear = [duel for duel in duels if duel.found.beyond_noise]
    for duel in sorted(clear, key=lambda duel: -abs(duel.found.interval.value)):
        value = duel.found.interval.value
        groups["higher" if value > 0 else "lower"].append(
            f"{duel.second} ({number(value, sign=True)})"
        )
    parts = [f"{side} in {listed(names)}" for side, names in groups.items() if names]
    rest = len(duels) - len(clear)
    if not parts:
        return f"{SIDES[quantity]}: no difference to {first} beyond noise"
    more = f"; {rest} within noise" if rest else ""
    unit = duels[0].found.unit
    return f"against {first}, {SIDES[quantity]} ends {' and '.join(parts)}, in {unit}{more}"
