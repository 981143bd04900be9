"""Near-duplicates: the two sides of many pairs are almost, or exactly, the same text.

What it is
----------
Both completions of a pair share nearly all their tokens. Their gradients then nearly cancel, so the
margin grows slowly, and what is left of the overlap pushes both sides the same way: which way is
decided by which gradient is longer, and mostly that is down. A pair of two equal completions has no
margin to gain at all.

Is it normal?
-------------
Corrections of single steps (mathematics, code, edits of tone) are such pairs on purpose. Identical
pairs are not: they come from sampling the same answer twice, or from a cut at the maximum length
before the first difference.

How it is measured
------------------
From the token ids of the probe pairs: edits (Levenshtein) over the longer length. Without ids,
pairs whose both sides have equal length and equal log-probability at every evaluation are
identical, and the cosine of the two sides' gradients shows how alike they are to the model.

Thresholds
----------
A near-duplicate differs in at most 10 % of its tokens; the pairs on which plain DPO is known to
lower both sides differ in 6.5 %. Present where more than a tenth of the pairs are such, with the
whole interval, or more than 2 % and at least two of them are identical; suspected at a median
cosine of at least 0.9. Proposals of this project.

When this is wrong
------------------
Few pairs are scored token by token. Long shared boilerplate (a template, a quoted text) counts as
overlap although the rest differs. Short answers (yes, no) differ by all their tokens and can still
be near-duplicates to the model.

What to try
-----------
Drop identical pairs, and those cut before they differ; DPO-positive, which pushes chosen up where
it falls; an SFT term; keep the pairs least alike.

References
----------
- arXiv 2402.13228: Smaug, near-duplicate pairs and DPO-positive.
- arXiv 2410.13828, section 4.3: what shared tokens do to both gradients.
- arXiv 2410.08847: keeping the pairs least alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from diagnostics import probe_examples
from diagnostics.advice import advice
from diagnostics.intervals import Ints, in_words, number, wilson
from diagnostics.pathologies.contract import Pathology
from diagnostics.probegrid import ProbeGrid, finite_numbers, first_values
from diagnostics.reading import Reading
from diagnostics.run import Run
from diagnostics.verdicts import Evidence, Status, Verdict

NAME = "near_duplicates"
# Proposals of this project.
ALIKE = 0.1  # edits over the longer length
SHARE = 0.1  # of the pairs
IDENTICAL_SHARE = 0.02
MIN_IDENTICAL = 2
COSINE = 0.9
MIN_PAIRS = 4
# Equal texts get equal log-probs up to the order of sums in 32 bits.
SAME = 1e-5
LONGEST = 2000  # tokens compared; the rest of longer completions is left out

NO_TOKENS = (
    "the texts of the pairs could not be seen: score single tokens of a few train pairs, so that "
    "their ids are in the log"
)


@dataclass(frozen=True)
class Alike:
    """How alike the two sides are: `distances` (P) from 0 to 1, or None; identical of pairs."""

    distances: np.ndarray | None
    identical: int
    pairs: int
    cosine: float | None


def check(
    reading: Reading, *, alike: float = ALIKE, share: float = SHARE, cosine: float = COSINE
) -> Verdict:
    """Say whether many pairs are near-duplicates or identical."""
    if reading.method is not None and not reading.method.paired:
        return Verdict(
            NAME,
            Status.NOT_APPLICABLE,
            f"{reading.method.title} trains on single completions, not on pairs",
        )
    found = _look(reading)
    if found.pairs < MIN_PAIRS and found.cosine is None:
        return Verdict(
            NAME,
            Status.UNKNOWN,
            f"cannot tell: {found.pairs} pairs were scored, and {MIN_PAIRS} are needed",
            unseen=(NO_TOKENS,),
        )
    status = _status(found, alike, share, cosine)
    return Verdict(
        pathology=NAME,
        status=status,
        sentence=_sentence(found, alike, status),
        evidence=_evidence(found, alike, share, cosine),
        advice=advice(reading, NAME) if status.is_alarm else (),
        unseen=() if found.distances is not None else (NO_TOKENS,),
    )


def _look(reading: Reading) -> Alike:
    distances = token_distances(reading.table("tokens"))
    grid = reading.grid
    identical, pairs = (0, 0) if grid is None else (_identical(grid), len(grid.pairs))
    if distances is not None:
        exact = int((distances == 0).sum())
        if exact > identical or not pairs:
            identical, pairs = exact, len(distances)
    cosines = first_values(reading.table("entanglement"), "cosine")
    cosine = float(np.median(cosines)) if cosines.size >= MIN_PAIRS else None
    return Alike(distances, identical, pairs, cosine)


def _identical(grid: ProbeGrid) -> int:
    """Return how many pairs have equal lengths and equal log-probs whenever they were scored."""
    if len(grid.steps) < 2:
        return 0
    gap = np.abs(grid.logps[:, 0] - grid.logps[:, 1])
    near = gap <= SAME * np.abs(grid.logps).max(axis=1)
    moved = np.ptp(grid.logps, axis=0).min(axis=0) > 0  # frozen weights show nothing
    return int(
        ((near | np.isnan(gap)).all(axis=0) & (grid.tokens[0] == grid.tokens[1]) & moved).sum()
    )


def token_distances(table: pd.DataFrame) -> np.ndarray | None:
    """Return the normalised edit distance of each pair's two sides (P), or None without ids."""
    needed = {"step", "pair", "split", "side", "position", "token"}
    if not needed <= set(table) or table.empty:
        return None
    first = table[table["step"] == table["step"].min()].sort_values("position")
    distances = []
    for _, pair in first.groupby(["split", "pair"]):
        sides = [
            finite_numbers(pair.loc[pair["side"] == side, "token"])
            for side in ("chosen", "rejected")
        ]
        if all(one.size and np.isfinite(one).all() for one in sides):
            one, other = (side[:LONGEST].astype(np.int64) for side in sides)
            distances.append(edit_distance(one, other) / max(one.size, other.size))
    return np.array(distances) if distances else None


def edit_distance(one: Ints, other: Ints) -> int:
    """Return the Levenshtein distance of two sequences of ids.

    Examples
    --------
    >>> edit_distance(np.array([1, 2, 3, 4]), np.array([1, 3, 4, 5]))
    2
    """
    places = np.arange(other.size + 1)
    row = places.copy()
    for at, token in enumerate(one, start=1):
        best = np.empty_like(row)
        best[0] = at
        best[1:] = np.minimum(row[:-1] + (other != token), row[1:] + 1)
        # Insertions run along the row: best[j] = min over i <= j of best[i] + (j - i).
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])


def _status(found: Alike, alike: float, share: float, cosine: float) -> Status:
    identical = found.identical / max(found.pairs, 1)
    if found.identical >= MIN_IDENTICAL and identical > IDENTICAL_SHARE:
        return Status.PRESENT
    if found.distances is not None and len(found.distances) >= MIN_PAIRS:
        near = float((found.distances <= alike).mean())
        if wilson(near, len(found.distances)).low > share:
            return Status.PRESENT
        return Status.ABSENT
    if found.cosine is not None:
        return Status.SUSPECTED if found.cosine >= cosine else Status.ABSENT
    return Status.UNKNOWN


def _sentence(found: Alike, alike: float, status: Status) -> str:
    parts = []
    if found.distances is not None:
        near = found.distances <= alike
        interval = wilson(float(near.mean()), len(near))
        parts.append(
            f"{int(near.sum())} of {len(near)} pairs differ in at most {100 * alike:.0f} % of "
            f"their tokens (share {in_words(interval)}; median difference "
            f"{100 * float(np.median(found.distances)):.1f} %)"
        )
    if found.pairs:
        parts.append(f"{found.identical} of {found.pairs} pairs are identical")
    if found.cosine is not None:
        parts.append(f"the two sides' gradients have a median cosine of {number(found.cosine)}")
    start = "cannot tell: " if status is Status.UNKNOWN else ""
    return start + "; ".join(parts)


def _evidence(found: Alike, alike: float, share: float, cosine: float) -> tuple[Evidence, ...]:
    evidence = []
    if found.distances is not None:
        interval = wilson(float((found.distances <= alike).mean()), len(found.distances))
        evidence.append(
            Evidence("near-duplicate pairs", interval.value, "fraction of pairs", share,
                     interval.low, interval.high)
        )  # fmt: skip
        median = float(np.median(found.distances))
        evidence.append(Evidence("median edit distance", median, "fraction of tokens", alike))
    if found.pairs:
        part = found.identical / found.pairs
        evidence.append(Evidence("identical pairs", part, "fraction of pairs", IDENTICAL_SHARE))
    if found.cosine is not None:
        evidence.append(Evidence("median gradient cosine", found.cosine, "cosine", cosine))
    return tuple(evidence)


def example(seed: int) -> Run:
    """Return a run on pairs of which most differ in one token."""
    return probe_examples.near_duplicate(seed)


PATHOLOGY = Pathology(NAME, "Near-duplicates", __doc__, check, example)
