"""The list of pairs to leave out of the next training: `python -m trainer --drop_pairs`."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd

from diagnostics.pairmarks import REASONS
from diagnostics.pairs import DELTA, MARGIN, PAIR, PROMPT, PairView
from diagnostics.run import Run

TEXTS = ("prompt_text", "text/chosen", "text/rejected")
BY_HAND = "selected by hand"


def drop_list(
    run: Run, pairs: PairView, marked: pd.DataFrame, chosen: Sequence[int], texts: pd.DataFrame
) -> pd.DataFrame:
    """Return one row a chosen pair: its number, what data it is of, why, and its texts.

    Parameters
    ----------
    marked
        The rows of the view with their marks.
    chosen
        Numbers of pairs.
    texts
        Texts by pair, as far as they were kept.
    """
    rows = marked[marked[PAIR].isin(chosen)]
    data = run.header.get("data")
    digest = data.get("sha256") if isinstance(data, dict) else None
    found = pd.DataFrame(
        {
            "pair": rows[PAIR].to_numpy(np.int64),
            # Training records and the probe's train pairs are rows of the same data.
            "split": "held_out" if pairs.split == "held_out" else "train",
            "data_sha256": digest if isinstance(digest, str) else "",
            "prompt": rows[PROMPT].to_numpy() if PROMPT in rows else "",
            "reasons": [reason or BY_HAND for reason in rows[REASONS]],
        }
    )
    for name in (MARGIN, DELTA["chosen"], DELTA["rejected"]):
        found[name] = rows[name].to_numpy(np.float64)
    for name in TEXTS:
        known = texts[name] if name in texts else pd.Series(dtype=object)
        found[name] = known.reindex(found["pair"]).fillna("").to_numpy()
    return found


def jsonl(frame: pd.DataFrame) -> bytes:
    r"""Return a table as one JSON object a line; what is not known is null.

    Examples
    --------
    >>> jsonl(pd.DataFrame({"pair": [3], "text": ["a\nb"], "x": [float("nan")]})).decode()
    '{"pair": 3, "text": "a\\nb", "x": null}\n'
    """
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
