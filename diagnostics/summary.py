"""What a comparison of runs comes to, in plain sentences: differences, efficiency, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from diagnostics.comparison import ComparisonRow, compare, told_apart
from diagnostics.configurations import configuration_differences
from diagnostics.contrasts import Contrast, contrasts, margin_per_drift
from diagnostics.intervals import Interval, in_words
from diagnostics.naming import RegimeVerdict
from diagnostics.run import Run
from diagnostics.seeds import (
    FEWEST,
    Group,
    GroupContrast,
    SeedBand,
    group_contrasts,
    seed_bands,
    seed_groups,
)
from diagnostics.standings import group_standings, listed, regimes_in_words, standings
from diagnostics.tracks import Track, tracks_of

# With more runs, each is held against the first one only: pairs grow with the square.
MOST_ALL_PAIRS = 4
MOST_SETTINGS_NAMED = 6


@dataclass(frozen=True)
class Summary:
    """Runs of any methods against each other, matched at a step, a margin or a drift.

    `rows` holds what each run says of itself, under names of which no two are alike. `contrasts`
    holds every pair, or each run against the first where there are many. `efficiency` is the
    margin gained for each nat of drift, by run, None where it is not known, and `unknown` says
    why. `groups` are runs that differ in their seed only, where there are any, `between` their
    differences and `bands` their courses. `settings` holds what the runs' configurations do not
    share, one value a run.
    """

    matched: str
    rows: tuple[ComparisonRow, ...]
    contrasts: tuple[Contrast, ...]
    efficiency: tuple[tuple[str, Interval | None], ...]
    unknown: Mapping[str, str]
    groups: tuple[Group, ...]
    between: tuple[GroupContrast, ...]
    bands: tuple[SeedBand, ...]
    settings: Mapping[str, tuple[object, ...]]

    @property
    def headlines(self) -> tuple[str, ...]:
        """The comparison in a few sentences: regimes, leaders, price of the margin, settings."""
        if len(self.rows) < 2:
            return ()
        many = len(self.rows) > MOST_ALL_PAIRS
        return (
            regimes_in_words([(row.name, row.verdict) for row in self.rows]),
            *standings(self.contrasts, many),
            *self._price(),
            *group_standings(self.between),
            *self._settings(),
            *self._logs(),
        )

    @property
    def beyond(self) -> tuple[str, ...]:
        """One sentence a difference that is beyond noise."""
        return self._said(beyond=True)

    @property
    def within(self) -> tuple[str, ...]:
        """One sentence a difference that is within noise, or too small to count."""
        return self._said(beyond=False)

    @property
    def refused(self) -> tuple[str, ...]:
        """Which runs are not compared, why, and what can be had instead."""
        found: dict[tuple[str, str | None, str | None], list[str]] = {}
        for one in self.contrasts:
            if one.reason is not None:
                found.setdefault((one.first, one.reason, one.instead), []).append(one.second)
        return tuple(
            f"{first} and {listed(others)} are not compared: {reason}"
            + ("" if instead is None else f"; what can be had is {instead}")
            for (first, reason, instead), others in found.items()
        )

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is beyond noise, what is not, and what cannot be compared, in this order."""
        return (
            *self.beyond,
            *self.within,
            *self.refused,
            *self._efficiencies(),
            *self.seeds,
            *self._between(),
        )

    def _said(self, *, beyond: bool) -> tuple[str, ...]:
        return tuple(
            text
            for one in self.contrasts
            if one.reason is None
            for text, found in zip(one.sentences, one.differences, strict=True)
            if found.beyond_noise == beyond
        )

    def _price(self) -> list[str]:
        known = self._known_efficiency()
        if len(known) < 2:
            return []
        (most, best), (least, worst) = known[0], known[-1]
        return [
            f"for each nat of drift, {most} gained most margin ({in_words(best)} nats) and "
            f"{least} least ({in_words(worst)})"
        ]

    def _settings(self) -> list[str]:
        if not self.settings:
            return ["the settings that the logs state do not differ"]
        return [f"the settings differ in {listed(list(self.settings), MOST_SETTINGS_NAMED)}"]

    def _logs(self) -> list[str]:
        if all(one.paired for one in self.contrasts if one.reason is None):
            return []
        return [
            "differences off logs are between averages over other pairs at each record: they hold "
            "where both runs trained the same model on the same data"
        ]

    def _known_efficiency(self) -> list[tuple[str, Interval]]:
        known = [(name, found) for name, found in self.efficiency if found is not None]
        return sorted(known, key=lambda one: -one[1].value)

    def _efficiencies(self) -> list[str]:
        return [
            f"{name} gained {in_words(found)} nats of margin for each nat of drift"
            for name, found in self._known_efficiency()
        ]

    @property
    def seeds(self) -> tuple[str, ...]:
        """One sentence a group of seeds: where its runs end on average."""
        return tuple(
            f"over {len(group.runs)} seeds ({', '.join(group.runs)}): chosen "
            f"{in_words(group.chosen, sign=True)}, rejected {in_words(group.rejected, sign=True)} "
            "nats per token"
            for group in self.groups
            if isfinite(group.chosen.value)
        )

    def _between(self) -> list[str]:
        return [
            f"{one.second} minus {one.first} over {one.seeds[1]} and {one.seeds[0]} seeds: "
            f"{found.quantity} {in_words(found.interval, sign=True)} {found.unit}, "
            f"{'beyond noise' if found.beyond_noise else 'within noise'}"
            for one in self.between
            for found in one.differences
            if isfinite(found.interval.value)
        ]


def summarise(
    runs: Sequence[Run], matched: str = "step", verdicts: Sequence[RegimeVerdict] | None = None
) -> Summary:
    """Return the summary of two or more runs; of fewer it compares nothing.

    `matched` is "step", "margin" or "drift"; `verdicts` are those of the runs, where they are
    known already.
    """
    runs = told_apart(runs)
    rows = tuple(compare(runs, verdicts))
    if len(runs) < 2:
        return Summary(matched, rows, (), (), {}, (), (), (), {})
    tracks = tracks_of(runs)
    against_first = [(0, other) for other in range(1, len(runs))]
    pairs = against_first if len(runs) > MOST_ALL_PAIRS else None
    efficiency = [(run.name, margin_per_drift(one)) for run, one in zip(runs, tracks, strict=True)]
    groups = tuple(one for one in seed_groups(runs, tracks) if len(one.runs) >= FEWEST)
    return Summary(
        matched=matched,
        rows=rows,
        contrasts=contrasts(runs, matched, pairs, tracks),
        efficiency=tuple(efficiency),
        unknown={
            name: _why_unknown(track)
            for (name, found), track in zip(efficiency, tracks, strict=True)
            if found is None
        },
        groups=groups,
        between=group_contrasts(groups),
        bands=seed_bands(runs, tracks, matched),
        settings=configuration_differences(runs),
    )


def _why_unknown(track: Track | None) -> str:
    """Return why a margin cannot be held against the drift it cost."""
    if track is None:
        return "no probe set"
    if track.drift[-1] is None:
        return "no reference samples at the last evaluation"
    return "the drift is within noise"
