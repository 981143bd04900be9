"""The tokens of one pair, and how much likelier or less likely each has become.

`coloured` is the only place where texts of a run become HTML. Everything that comes from a log
passes through `escaped` there, as the content of an element: no attribute is made from it.
"""

from __future__ import annotations

from math import isfinite

import numpy as np
import pandas as pd

from diagnostics.markup import escaped
from diagnostics.probegrid import SIDES, finite_numbers
from diagnostics.run import Run

TOKEN = "Token"
POSITION = "Position"
SIDE = "Side"
GROUP = "Group"
CHANGE = "Δ log-prob [nats]"
START = "Log-prob at the start [nats]"
NOW = "Log-prob [nats]"

# Purple against green stays apart under the three colour-vision deficiencies, and neither is the
# colour of a side.
RISES, FALLS = (14, 143, 126), (138, 99, 210)
# Changes beyond this share of all tokens get the full colour: one wild token would fade the rest.
FULL_COLOUR = 0.95
STRONGEST = 0.62  # opacity: the text above it stays readable, dark on light and light on dark
FAINTEST = 0.05  # share of the full colour below which a token is left alone
LONGEST = 4000  # tokens of one side that are shown
_VISIBLE = {"\n": "⏎\n", "\r": "␍", "\t": "⇥\t"}


def token_changes(run: Run, split: str, pair: int, step: int) -> pd.DataFrame:
    """Return one row a token of both sides of a pair, in order; empty where none was recorded.

    The change is from the first to the last record at or before `step`. A token whose text was not
    kept is shown by its number.
    """
    heads = [SIDE, POSITION, TOKEN, GROUP, CHANGE, START, NOW]
    table = run.tables.get("tokens")
    keys = ["side", "position"]
    if table is None or not {"step", "split", "pair", "token", "logps", *keys} <= set(table):
        return pd.DataFrame(columns=heads)
    rows = table[(table["split"] == split) & (table["pair"] == pair)]
    rows = rows[(rows["step"] <= step) | (rows["step"] == rows["step"].min())]
    rows = rows.assign(logps=finite_numbers(rows["logps"]))
    rows = rows.drop_duplicates(["step", *keys], keep="last")
    if rows.empty:
        return pd.DataFrame(columns=heads)
    first = rows[rows["step"] == rows["step"].min()].set_index(keys)
    last = rows[rows["step"] == rows["step"].max()].set_index(keys)
    first = first[first.index.get_level_values("side").isin(SIDES)].sort_index()
    now = last["logps"].reindex(first.index)
    found = pd.DataFrame(
        {
            SIDE: first.index.get_level_values("side"),
            POSITION: first.index.get_level_values("position"),
            TOKEN: _texts(run, split, pair, first),
            GROUP: first["group"].to_numpy() if "group" in first else "",
            CHANGE: (now - first["logps"]).to_numpy(),
            START: first["logps"].to_numpy(),
            NOW: now.to_numpy(),
        }
    )
    return found[heads]


def _texts(run: Run, split: str, pair: int, tokens: pd.DataFrame) -> np.ndarray:
    """Return the text of each token, its number in brackets where no text was kept."""
    numbers = np.array([f"[{token}]" for token in tokens["token"]], dtype=object)
    table = run.tables.get("token_texts")
    if table is None or not {"split", "pair", "side", "position", "text"} <= set(table):
        return numbers
    own = table[(table["split"] == split) & (table["pair"] == pair)]
    own = own.drop_duplicates(["side", "position"], keep="last").set_index(["side", "position"])
    texts = own["text"].reindex(tokens.index)
    return np.where(texts.isna(), numbers, texts)


def scale(tokens: pd.DataFrame) -> float:
    """Return the change that gets the full colour [nats]: most tokens of both sides lie within."""
    sizes = np.abs(tokens[CHANGE].to_numpy(np.float64)) if len(tokens) else np.empty(0)
    sizes = sizes[np.isfinite(sizes)]
    if not sizes.size or not sizes.max() > 0:
        return 1.0
    typical = float(np.quantile(sizes, FULL_COLOUR))
    return typical if typical > 0 else float(sizes.max())


def coloured(tokens: pd.DataFrame, side: str, full: float) -> str:
    """Return a completion as HTML: each token on its colour, underlined, its change on hover.

    A solid line below stands for a rise and a dotted one for a fall, so that the sign does not
    hang on the colour.

    Parameters
    ----------
    tokens
        What `token_changes` returns.
    side
        "chosen" or "rejected".
    full
        The change that gets the full colour [nats].
    """
    own = tokens[tokens[SIDE] == side]
    spans = [
        _span(str(text), float(change))
        if not isfinite(change) or full <= 0
        else _span(str(text), float(change), min(1.0, abs(float(change)) / full))
        for text, change in zip(own[TOKEN][:LONGEST], own[CHANGE][:LONGEST], strict=True)
    ]
    more = f" … {len(own) - LONGEST:,} tokens more" if len(own) > LONGEST else ""
    return (
        '<div style="white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.9;'
        f'font-size:0.95rem">{"".join(spans)}{more}</div>'
    )


def legend(full: float) -> str:
    """Return the key to the colours as HTML, in nats."""
    steps = (-1.0, -0.5, 0.0, 0.5, 1.0)
    boxes = "".join(
        _span(f" {_signed(share * full)}{' or more' if abs(share) == 1 else ''} ",
              share * full, abs(share))
        for share in steps
    )  # fmt: skip
    return (
        '<div style="font-size:0.85rem;line-height:2">Δ log-prob of a token since the start '
        f"[nats]: {boxes} · dotted line: fell, solid line: rose</div>"
    )


def _span(text: str, change: float, share: float = 0.0) -> str:
    """Return one token as an element; its attributes are made from numbers only."""
    shown = "".join(_VISIBLE.get(sign, sign) for sign in text)
    title = f"{_signed(change)} nats" if isfinite(change) else "not known"
    if not share > FAINTEST:
        return f'<span title="{title}">{escaped(shown)}</span>'
    red, green, blue = RISES if change > 0 else FALLS
    line = "solid" if change > 0 else "dotted"
    style = (
        f"background-color:rgba({red},{green},{blue},{STRONGEST * share:.2f});"
        f"border-bottom:2px {line} rgb({red},{green},{blue});border-radius:2px"
    )
    return f'<span title="{title}" style="{style}">{escaped(shown)}</span>'


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
