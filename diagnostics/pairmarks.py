"""What speaks for looking at a pair again.

It moves against its label, its sides are alike, or it is a copy of another pair. Marks are found
over the whole run, whichever evaluation is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diagnostics.flips import find, too_little
from diagnostics.intervals import Floats, Ints
from diagnostics.pairs import PAIR, PROMPT, PairView
from diagnostics.pathologies import label_flips
from diagnostics.pathologies.near_duplicates import ALIKE, SAME, edit_distance, token_distances
from diagnostics.probegrid import SIDES, probe_grid
from diagnostics.run import Run

AGAINST = "against its label"
SIDES_ALIKE = "sides alike"
COPY = "copy"
MARKS = (AGAINST, SIDES_ALIKE, COPY)

DIFFER_WORDS = "Sides differ in [fraction of words]"
DIFFER_TOKENS = "Sides differ in [fraction of tokens]"
COPY_OF = "Copy of pair"
REASONS = "Marks"
# Words compared on each side; the rest of longer completions is left out.
LONGEST = 2000


@dataclass(frozen=True)
class Marks:
    """The marks of the pairs of one split.

    `frame` is indexed by pair and holds `COPY_OF`, one of `DIFFER_WORDS` and `DIFFER_TOKENS` where
    texts or tokens were kept, and `REASONS` (words, empty without a mark). `labels` says in one
    sentence what is known of pairs that move against their labels.
    """

    frame: pd.DataFrame
    labels: str


def marks(run: Run, pairs: PairView) -> Marks:
    """Return the marks of the fixed pairs of a view's split."""
    numbers = pairs.frame[PAIR]
    frame = pd.DataFrame(index=pd.Index(numbers, name=PAIR))
    against, labels = _against(run, pairs.split)
    frame[AGAINST] = numbers.isin(against).to_numpy()
    texts = _of_split(run.tables.get("texts"), pairs.split)
    name, distances = _distances(run, pairs.split, texts)
    if name:
        frame[name] = distances.reindex(frame.index)
    frame[COPY_OF] = _copies(run, pairs, texts).reindex(frame.index).astype("Int64")
    alike = frame[name].le(ALIKE) if name else pd.Series(False, frame.index)
    frame[REASONS] = [
        _words(*one) for one in zip(frame[AGAINST], alike, frame[COPY_OF], strict=True)
    ]
    return Marks(frame.drop(columns=AGAINST), labels)


def marked(pairs: PairView, found: Marks) -> pd.DataFrame:
    """Return the rows of a view with what their marks say of them."""
    return pairs.frame.join(found.frame, on=PAIR)


def training_marks(pairs: PairView, records: pd.DataFrame) -> Marks:
    """Return the marks of training pairs, which are copies only.

    Labels need the same pairs over several evaluations, and alike sides their texts. Copies have
    equal lengths and equal log-probs under the reference, which does not change.
    """
    names = [f"{name}/{side}" for name in ("completion_tokens", "ref_logps") for side in SIDES]
    rows = records.drop_duplicates("pair", keep="last").reindex(columns=["pair", *names])
    first = _first_of_equal(rows[names].to_numpy(np.float64), rows["pair"].to_numpy(np.int64))
    frame = pd.DataFrame(index=pd.Index(pairs.frame[PAIR], name=PAIR))
    frame[COPY_OF] = first.reindex(frame.index).astype("Int64")
    frame[REASONS] = [_words(False, False, of) for of in frame[COPY_OF]]
    return Marks(
        frame,
        "which training pairs move against their labels cannot be told: each was scored while it "
        "was trained on, and not again and again",
    )


def _words(against: bool, alike: bool, copy_of: object) -> str:
    found = [AGAINST] * bool(against) + [SIDES_ALIKE] * bool(alike)
    return ", ".join([*found, *([] if pd.isna(copy_of) else [f"{COPY} of {copy_of}"])])


def _against(run: Run, split: str) -> tuple[Ints, str]:
    """Return the pairs that move against their labels, and what is known of them."""
    grid = probe_grid(run, split)
    reason = too_little(grid)
    if grid is None or reason:
        return np.empty(0, np.int64), f"which pairs move against their labels: {reason}"
    flips = find(grid)
    of_pairs = f"{flips.count} of {len(grid.pairs)} pairs move against their labels"
    chance = f"p = {flips.p:.3f} that chance deals out as many"
    status = label_flips.judged(flips)
    if not flips.count:
        return np.empty(0, np.int64), "0 pairs move against their labels"
    judgement = "a group of their own" if status.is_alarm else "no group of their own"
    return grid.pairs[flips.against], f"{of_pairs}: {judgement} ({chance})"


def _of_split(table: pd.DataFrame | None, split: str) -> pd.DataFrame | None:
    needed = {"split", "pair", *(f"text/{side}" for side in SIDES)}
    if table is None or not needed <= set(table):
        return None
    rows = table[table["split"] == split].drop_duplicates("pair", keep="last")
    return None if rows.empty else rows.set_index("pair")


def _distances(run: Run, split: str, texts: pd.DataFrame | None) -> tuple[str, pd.Series]:
    """Return the normalised edit distance of both sides by pair, under the name of its unit."""
    if texts is not None:
        both = zip(*(texts[f"text/{side}"] for side in SIDES), strict=True)
        values = [_word_distance(one, other) for one, other in both]
        return DIFFER_WORDS, pd.Series(values, index=texts.index, dtype=np.float64)
    table = run.tables.get("tokens")
    if table is None or not {"split", "pair"} <= set(table):
        return "", pd.Series(dtype=np.float64)
    found = {
        pair: token_distances(own) for pair, own in table[table["split"] == split].groupby("pair")
    }
    known = {pair: float(one[0]) for pair, one in found.items() if one is not None}
    return (DIFFER_TOKENS if known else ""), pd.Series(known, dtype=np.float64)


def _word_distance(one: str, other: str) -> float:
    """Return edits over the longer length, in words; NaN where a side is missing.

    Examples
    --------
    >>> _word_distance("a b c d", "a b c e")
    0.25
    """
    sides = [str(text).split()[:LONGEST] for text in (one, other)]
    if not all(sides):
        return float("nan")
    codes: dict[str, int] = {}
    first, second = (
        np.array([codes.setdefault(word, len(codes)) for word in words], dtype=np.int64)
        for words in sides
    )
    return edit_distance(first, second) / max(first.size, second.size)


def _copies(run: Run, pairs: PairView, texts: pd.DataFrame | None) -> pd.Series:
    """Return the first pair with the same prompt and completions by pair, for all but that one."""
    if texts is not None and "prompt_text" in texts:
        keys = texts[["prompt_text", *(f"text/{side}" for side in SIDES)]].astype(str).sort_index()
        whole = keys.agg("\0".join, axis=1)
        first = keys.index.to_series().groupby(whole).transform("min")
        return first[first != first.index]
    rows = run.probes[(run.probes["split"] == pairs.split) & (run.probes["step"] == pairs.start)]
    rows = rows.drop_duplicates("pair", keep="last")
    if PROMPT not in pairs.frame or not all(f"logps/{side}" in rows for side in SIDES):
        return pd.Series(dtype=np.float64)
    values = [pd.factorize(rows["prompt"])[0].astype(np.float64)]
    values += [
        pd.to_numeric(rows[f"{name}/{side}"], errors="coerce").to_numpy(np.float64)
        for name in ("completion_tokens", "logps")
        for side in SIDES
    ]
    return _first_of_equal(np.stack(values, axis=1), rows["pair"].to_numpy(np.int64))


def _first_of_equal(keys: Floats, names: Sequence[int] | Ints) -> pd.Series:
    """Return for each row that equals an earlier one, up to the order of sums, that one's name.

    Rows are compared as neighbours in sorted order; one with a value that is not finite equals
    none.
    """
    order = np.lexsort((np.asarray(names), *keys.T[::-1]))
    ordered, owners = keys[order], np.asarray(names)[order]
    near = np.isclose(ordered[1:], ordered[:-1], rtol=SAME, atol=0).all(axis=1)
    starts = np.concatenate([[True], ~near])
    group = np.cumsum(starts) - 1
    table = pd.Series(owners, index=owners)
    first = table.groupby(group).transform("min")
    return first[first != first.index]
