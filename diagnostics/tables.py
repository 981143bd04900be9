"""Display-ready frames: one row a run, a number behind a verdict, or a probe pair.

Column heads carry the unit in brackets, in the words of the schema. Numbers stay numbers; what is
not known is NaN or None, and how to format it is up to whoever shows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, nan
from typing import Any

import pandas as pd

from diagnostics.comparison import compare
from diagnostics.intervals import Interval
from diagnostics.methods import method
from diagnostics.phases import RegimeVerdict
from diagnostics.run import Run
from diagnostics.schema import NATS_PER_TOKEN, metric
from diagnostics.share import ShareEstimate, trajectory

SPARK_POINTS = 40
NOT_SET = "–"

DELTA_CHOSEN = f"Δ chosen [{NATS_PER_TOKEN}]"
DELTA_REJECTED = f"Δ rejected [{NATS_PER_TOKEN}]"
MARGIN = f"Δ margin [{NATS_PER_TOKEN}]"
DRIFT = f"Drift [{NATS_PER_TOKEN}]"
SHARE = "S [share of the margin]"
REWARD_ACCURACY = f"Reward accuracy [{metric('rewards/accuracies').unit}]"
RANKING_ACCURACY = f"Ranking accuracy [{metric('ranking_accuracies').unit}]"

OVERVIEW = (
    *("Run", "Method", "Status", "Regime", SHARE, DELTA_CHOSEN, DELTA_REJECTED),
    *(REWARD_ACCURACY, RANKING_ACCURACY, DRIFT, "Steps", "Updated", "Chosen", "Rejected"),
)


def overview(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row a run at its last evaluation.

    `Updated` is when the newest training record was written (UTC), NaT where the log does not
    say; `Chosen` and `Rejected` are lists of at most `SPARK_POINTS` changes over the run.
    """
    rows = [
        {
            "Run": row.name,
            "Method": method_title(row.method),
            "Status": row.status,
            "Regime": row.regime.label,
            SHARE: _value(row.share),
            DELTA_CHOSEN: _value(row.delta_chosen),
            DELTA_REJECTED: _value(row.delta_rejected),
            REWARD_ACCURACY: _value(row.reward_accuracy),
            RANKING_ACCURACY: _value(row.ranking_accuracy),
            DRIFT: _value(row.drift),
            "Steps": run.last_step,
            "Updated": _updated(run),
            **_sparks(trajectory(run, row.verdict.estimate.split)),
        }
        for row, run in zip(compare(runs), runs, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(OVERVIEW))


def evidence(verdict: RegimeVerdict) -> pd.DataFrame:
    """Return the numbers behind a verdict, with their 95 % intervals and thresholds."""
    columns = ["Quantity", "Value", "95 % from", "95 % to", "Threshold", "Unit"]
    rows = [
        (one.quantity, one.value, one.low, one.high, one.threshold, one.unit)
        for one in verdict.evidence
    ]
    return pd.DataFrame(rows, columns=columns)


def trajectories(run: Run, split: str | None = None) -> pd.DataFrame:
    """Return the estimates of a run by step: values, and intervals as `… from` and `… to`."""
    quantities = {
        DELTA_CHOSEN: "delta_chosen",
        DELTA_REJECTED: "delta_rejected",
        MARGIN: "margin",
        SHARE: "share",
        REWARD_ACCURACY: "reward_accuracy",
        RANKING_ACCURACY: "ranking_accuracy",
        DRIFT: "drift",
    }
    estimates = trajectory(run, split)
    columns: dict[str, list[float]] = {}
    for label, name in quantities.items():
        intervals = [getattr(one, name) for one in estimates]
        columns[label] = [_value(one) for one in intervals]
        columns[f"{label} from"] = [nan if one is None else one.low for one in intervals]
        columns[f"{label} to"] = [nan if one is None else one.high for one in intervals]
    return pd.DataFrame(columns, index=pd.Index([one.step for one in estimates], name="step"))


def settings(run: Run) -> list[tuple[str, str]]:
    """Return the configuration as (name, value) texts; names of nested settings carry dots."""
    return list(_flat(run.config))


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", NOT_SET if value in (None, "") else str(value)


def method_title(name: str | None) -> str:
    """Return a method's title, or the name itself where the method is not a known one.

    Examples
    --------
    >>> method_title("dpo"), method_title(None), method_title("house_blend")
    ('DPO', 'not known', 'house_blend')
    """
    if name is None:
        return "not known"
    try:
        return method(name).title
    except KeyError:
        return name


def _value(interval: Interval | None) -> float:
    return nan if interval is None else interval.value


def _updated(run: Run) -> pd.Timestamp:
    """Return when the newest record was written, NaT where no record says so."""
    if "time" not in run.train:
        return pd.NaT
    seconds = pd.to_numeric(run.train["time"], errors="coerce").max()
    return pd.to_datetime(seconds, unit="s", utc=True, errors="coerce")


def _sparks(estimates: Sequence[ShareEstimate]) -> dict[str, list[float]]:
    paths = {
        "Chosen": [one.delta_chosen.value for one in estimates],
        "Rejected": [one.delta_rejected.value for one in estimates],
    }
    return {
        side: _spark([value for value in path if isfinite(value)]) for side, path in paths.items()
    }


def _spark(values: list[float]) -> list[float]:
    """Return at most `SPARK_POINTS` of the values, evenly spaced, the newest among them."""
    stride = -(-len(values) // SPARK_POINTS) or 1
    return values[::-1][::stride][::-1]
