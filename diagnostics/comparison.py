"""Runs of different methods on one scale: changes per token of a probe set, and the share S.

The scale needs no reward, so DPO, KTO, ORPO and SimPO can stand in one table, as long as the runs
were scored on the same pairs and began at the same policy. Where they were not, the row says so.
Steps are not comparable between methods: read a change against the drift it cost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

import numpy as np
import pandas as pd

from diagnostics.intervals import Interval
from diagnostics.phases import EFFECT_FLOOR, Movement, RegimeVerdict, name_regime
from diagnostics.regimes import Regime
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN


@dataclass(frozen=True)
class ComparisonRow:
    """One run at its last evaluation; numbers as in `ShareEstimate`, None where unknown.

    `caveats` are about the comparison only: the run's own are in `verdict`.
    """

    name: str
    path: str
    method: str | None
    status: str
    step: int | None
    regime: Regime
    share: Interval | None
    delta_chosen: Interval | None
    delta_rejected: Interval | None
    reward_accuracy: Interval | None
    ranking_accuracy: Interval | None
    drift: Interval | None
    verdict: RegimeVerdict
    caveats: tuple[str, ...] = ()


def told_apart(runs: Sequence[Run]) -> list[Run]:
    """Return the runs with names of which no two are alike, as sentences about them need.

    Runs that share a name are called by the end of their path, too, or else numbered.
    """
    often = Counter(run.name for run in runs)
    paths = {
        name: [PurePath(run.source.path).parts for run in runs if run.name == name]
        for name, count in often.items()
        if count > 1
    }
    seen: Counter[str] = Counter()
    named = []
    for run in runs:
        if often[run.name] > 1:
            place = _last_parts(PurePath(run.source.path).parts, paths[run.name])
            name = f"{run.name} ({place})" if place else run.name
            seen[name] += 1
            run = replace(run, name=name if seen[name] == 1 else f"{name} #{seen[name]}")
        named.append(run)
    return named


def _last_parts(mine: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> str:
    """Return the fewest last parts of a path that no other one ends in; nothing if all are one."""
    if len(set(others)) < 2:
        return ""
    for count in range(1, len(mine) + 1):
        if sum(other[-count:] == mine[-count:] for other in others) == 1:
            return "/".join(mine[-count:])
    return "/".join(mine[-2:])


def compare(
    runs: Sequence[Run], verdicts: Sequence[RegimeVerdict] | None = None
) -> list[ComparisonRow]:
    """Return one row a run, in the given order; `verdicts` are theirs, where they are known.

    The first run with a probe set is the measure: every other one that was scored on other pairs,
    or started elsewhere, gets a caveat.
    """
    verdicts = [name_regime(run) for run in runs] if verdicts is None else list(verdicts)
    starts = [_start(run, one.estimate.split) for run, one in zip(runs, verdicts, strict=True)]
    measure = next((index for index, start in enumerate(starts) if len(start)), 0)
    return [
        _row(
            run,
            verdict,
            _differences(runs[measure].name, starts[measure], start)
            + _other_split(runs[measure].name, verdicts[measure], verdict),
        )
        for run, verdict, start in zip(runs, verdicts, starts, strict=True)
    ]


def _row(run: Run, verdict: RegimeVerdict, caveats: tuple[str, ...]) -> ComparisonRow:
    estimate, moved = verdict.estimate, verdict.movement
    known = estimate.n_pairs > 0
    if not known and moved is not None:
        caveats += _from_log(moved)
    if moved is not None and moved.unit != NATS_PER_TOKEN:
        moved = None
    return ComparisonRow(
        name=run.name,
        path=run.source.path,
        method=run.method,
        status=run.status,
        step=estimate.step if known else None,
        regime=verdict.regime,
        share=verdict.share,
        delta_chosen=None if moved is None else moved.chosen,
        delta_rejected=None if moved is None else moved.rejected,
        reward_accuracy=estimate.reward_accuracy,
        ranking_accuracy=estimate.ranking_accuracy,
        drift=estimate.drift,
        verdict=verdict,
        caveats=caveats,
    )


def _from_log(moved: Movement) -> tuple[str, ...]:
    """Return what keeps the numbers of a log from those of a probe set."""
    where = "read off its logged rewards, which average other pairs at each record"
    if moved.unit == NATS_PER_TOKEN:
        return (where,)
    return (f"{where}; they are in {moved.unit}, and sizes do not compare",)


_LOGPS = ["logps/chosen", "logps/rejected"]
_LENGTHS = ["completion_tokens/chosen", "completion_tokens/rejected"]


def _start(run: Run, split: str) -> pd.DataFrame:
    """Return prompt, log-probabilities and lengths of the probe pairs at their first evaluation."""
    probes = run.probes
    known = {"step", "split", "pair", "prompt", *_LOGPS, *_LENGTHS} <= set(probes)
    if probes.empty or not known:
        return pd.DataFrame()
    rows = probes[probes["split"] == split]
    steps = pd.to_numeric(rows["step"], errors="coerce")
    rows = rows[steps == steps.min()].drop_duplicates("pair", keep="last")
    # A column of numbers and truth values or huge integers stays an object column otherwise.
    numbers = rows[_LOGPS + _LENGTHS].apply(pd.to_numeric, errors="coerce").astype(np.float64)
    starts = rows[["pair", "prompt"]].join(numbers).set_index("pair")
    return starts.sort_index(key=lambda pairs: pairs.map(str))


def _differences(measure: str, theirs: pd.DataFrame, mine: pd.DataFrame) -> tuple[str, ...]:
    """Return what keeps a run's probe set from being that of `measure`."""
    if not len(mine):
        return ()
    same_pairs = mine.index.equals(theirs.index) and mine["prompt"].equals(theirs["prompt"])
    if not same_pairs:
        return (f"scored on other probe pairs than {measure}",)
    lengths, logps = mine[_LENGTHS].to_numpy(), mine[_LOGPS].to_numpy()
    with np.errstate(all="ignore"):
        longer = np.abs(lengths - theirs[_LENGTHS].to_numpy())
        apart = np.abs(logps - theirs[_LOGPS].to_numpy()) / lengths
    if longer[np.isfinite(longer)].any():
        return (f"the probe pairs of {measure} have other lengths: another tokenizer or template",)
    apart = apart[np.isfinite(apart)]
    if apart.size and float(apart.mean()) > EFFECT_FLOOR:
        return (f"started at another policy than {measure}",)
    return ()


def _other_split(measure: str, theirs: RegimeVerdict, mine: RegimeVerdict) -> tuple[str, ...]:
    both = theirs.estimate.n_pairs and mine.estimate.n_pairs
    if not both or theirs.estimate.split == mine.estimate.split:
        return ()
    return (
        f"read off {mine.estimate.split} pairs, and {measure} off {theirs.estimate.split} pairs",
    )
