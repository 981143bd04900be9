"""Whether the policy is as often right as it is sure: its implicit preference against the labels.

A reward margin m says that the policy prefers one side with probability sigmoid(|m|), under the
Bradley-Terry model that the losses come from. Among pairs of one confidence, that part should be
preferred as labelled. Far less on held-out pairs is overconfidence; on train pairs it is
expected to be more, because their labels were seen.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from diagnostics.intervals import Floats, clustered_fraction
from diagnostics.meaning import Base
from diagnostics.pairs import GAP, GAP_SUM, MARGIN, MARGIN_SUM, PairView
from diagnostics.run import Run

CONFIDENCE = "Confidence [%]"
RIGHT = "Preferred as labelled [%]"
COUNT = "Pairs"
# Proposals of this project: bins of equal numbers, and fewest pairs in each.
MOST_BINS = 6
LEAST_IN_BIN = 8

# What a reward is a multiple of, as a column of a view: its difference between the sides.
_COLUMNS = {
    Base.LOGRATIO_SUM: MARGIN_SUM,
    Base.LOGRATIO_MEAN: MARGIN,
    Base.LOGPS_SUM: GAP_SUM,
    Base.LOGPS_MEAN: GAP,
}


def reward_margins(run: Run, pairs: PairView) -> Floats | None:
    """Return the reward margin of every pair (rows of the view), NaN where it is not known.

    None where the run does not say what its rewards are.
    """
    meaning = run.meaning
    if meaning is None or meaning.factor is None or meaning.base not in _COLUMNS:
        return None
    values = pairs.frame[_COLUMNS[meaning.base]].to_numpy(np.float64)
    return np.asarray(meaning.factor * values)


def reliability(run: Run, pairs: PairView) -> pd.DataFrame | None:
    """Return by confidence how many pairs are preferred as labelled, with 95 % intervals.

    None where no pair has a reward margin that is not 0.
    """
    margins = reward_margins(run, pairs)
    if margins is None or not pairs.is_paired:
        return None
    known = np.isfinite(margins) & (margins != 0)
    if not known.any():
        return None
    margins, clusters = margins[known], pairs.clusters[known]
    sure, right = expit(np.abs(margins)), margins > 0
    count = int(np.clip(len(sure) // LEAST_IN_BIN, 1, MOST_BINS))
    rows = []
    for own in np.array_split(np.argsort(sure, kind="stable"), count):
        found = clustered_fraction(right[own], clusters[own], int(clusters.max()) + 1)
        ends = (found.value, found.low, found.high)
        rows.append((100 * sure[own].mean(), *(100 * end for end in ends), len(own)))
    return pd.DataFrame(rows, columns=[CONFIDENCE, RIGHT, f"{RIGHT} from", f"{RIGHT} to", COUNT])
