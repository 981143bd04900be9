"""What a comparison of runs comes to, in plain sentences: differences, efficiency, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diagnostics.configurations import configuration_differences
from diagnostics.contrasts import Contrast, contrasts, margin_per_drift
from diagnostics.intervals import Interval, in_words
from diagnostics.run import Run
from diagnostics.seeds import Group, seed_groups
from diagnostics.tracks import tracks_of

# With more runs, each is held against the first one only: pairs grow with the square.
MOST_ALL_PAIRS = 4


@dataclass(frozen=True)
class Summary:
    """Runs of any methods against each other, matched at a step, a margin or a drift.

    `contrasts` holds every pair, or each run against the first where there are many.
    `efficiency` is the margin gained for each nat of drift, by run, None where it is not known.
    `groups` are runs that differ in their seed only, where there are any. `settings` holds what
    the runs' configurations do not share, one value a run.
    """

    matched: str
    contrasts: tuple[Contrast, ...]
    efficiency: tuple[tuple[str, Interval | None], ...]
    groups: tuple[Group, ...]
    settings: Mapping[str, tuple[object, ...]]

    @property
    def sentences(self) -> tuple[str, ...]:
        """What is beyond noise, what is not, and what cannot be compared, in this order."""
        beyond: list[str] = []
        within: list[str] = []
        refused: list[str] = []
        for one in self.contrasts:
            if one.reason is not None:
                refused += one.sentences
                continue
            clear = [difference.beyond_noise for difference in one.differences]
            beyond += [text for text, is_so in zip(one.sentences, clear, strict=True) if is_so]
            within += [text for text, is_so in zip(one.sentences, clear, strict=True) if not is_so]
        return (*beyond, *within, *refused, *self._efficiencies(), *self._seeds())

    def _efficiencies(self) -> list[str]:
        known = [(name, found) for name, found in self.efficiency if found is not None]
        known.sort(key=lambda one: -one[1].value)
        return [
            f"{name} gained {in_words(found)} nats of margin for each nat of drift"
            for name, found in known
        ]

    def _seeds(self) -> list[str]:
        return [
            f"over {len(group.runs)} seeds ({', '.join(group.runs)}): chosen "
            f"{in_words(group.chosen, sign=True)}, rejected {in_words(group.rejected, sign=True)} "
            "nats per token"
            for group in self.groups
        ]


def summarise(runs: Sequence[Run], matched: str = "step") -> Summary:
    """Return the summary of two or more runs; of fewer it is empty.

    `matched` is "step", "margin" or "drift".
    """
    if len(runs) < 2:
        return Summary(matched, (), (), (), {})
    tracks = tracks_of(runs)
    against_first = [(0, other) for other in range(1, len(runs))]
    return Summary(
        matched=matched,
        contrasts=contrasts(
            runs, matched, against_first if len(runs) > MOST_ALL_PAIRS else None, tracks
        ),
        efficiency=tuple(
            (run.name, margin_per_drift(track)) for run, track in zip(runs, tracks, strict=True)
        ),
        groups=tuple(group for group in seed_groups(runs, tracks) if len(group.runs) > 1),
        settings=configuration_differences(runs),
    )
