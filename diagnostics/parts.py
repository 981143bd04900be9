"""The two parts of a margin: what chosen gained and what rejected lost.

margin = Delta chosen + (-Delta rejected). A part below 0 works against the margin: in a run whose
sides both fall, chosen takes away from what rejected brings. S is the chosen part's share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diagnostics.intervals import Floats
from diagnostics.schema import NATS_PER_TOKEN
from diagnostics.series import Changes
from diagnostics.share import ShareEstimate

MOST_GROUPS = 60  # bars of a logged run: records are averaged in so many groups at most


@dataclass(frozen=True)
class Parts:
    """Both parts of the margin by step, all of shape (n,) and in `unit`.

    `steps` are evaluations, or the middles of the `group` neighbouring records that are averaged.
    `margin` is the sum of both parts. `share` is S, NaN where the margin is not beyond its noise
    or where its noise is not known.
    """

    steps: Floats
    chosen: Floats
    rejected: Floats
    margin: Floats
    share: Floats
    unit: str
    group: int = 1


def of_probe(estimates: Sequence[ShareEstimate]) -> Parts | None:
    """Return the parts at each evaluation of the probe set; None without a finite one."""
    rows = [
        (
            one.step,
            one.delta_chosen.value,
            -one.delta_rejected.value,
            np.nan if one.share is None else one.share.value,
        )
        for one in estimates
        if np.isfinite([one.delta_chosen.value, one.delta_rejected.value]).all()
    ]
    if not rows:
        return None
    steps, chosen, rejected, share = np.array(rows, dtype=np.float64).T
    return Parts(steps, chosen, rejected, chosen + rejected, share, NATS_PER_TOKEN)


def of_log(changes: Changes) -> Parts | None:
    """Return the parts of the logged changes, neighbouring records averaged; None without one."""
    both = np.isfinite(changes.chosen) & np.isfinite(changes.rejected)
    if not both.any():
        return None
    columns = (changes.steps[both], changes.chosen[both], -changes.rejected[both])
    group = -(-int(both.sum()) // MOST_GROUPS)
    begins = np.arange(0, int(both.sum()), group)
    sizes = np.diff(np.append(begins, both.sum()))
    steps, chosen, rejected = (
        np.add.reduceat(np.asarray(one, dtype=np.float64), begins) / sizes for one in columns
    )
    unknown = np.full(len(steps), np.nan)
    return Parts(steps, chosen, rejected, chosen + rejected, unknown, changes.unit, group)
