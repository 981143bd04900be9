"""Ways from one page to another, the same whichever page a browser opened first.

The first deep link to a fresh server runs a page without `app.py`, so navigation that only
`app.py` draws would be missing there; every page draws this one itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st
from streamlit.errors import StreamlitPageNotFoundError

from pages.components.runs import Reading
from pages.components.text import literal

OVERVIEW = "pages/overview.py"
RUN = "pages/run.py"
COMPARE = "pages/compare.py"
PAIRS = "pages/pairs.py"
TRAIN = "pages/train.py"
IMPORT = "pages/import_log.py"
REFERENCE = "pages/reference.py"
PLACE = "page that is open"
LEFT = "what was shown by"
# The link to the open page looks the same with and without the keyboard's focus otherwise.
FOCUS = "<style>a:focus-visible{outline:2px solid currentColor!important}</style>"


def navigation(here: str) -> bool:
    """Show the name of the house and the links to its pages; say whether `here` was just opened."""
    arrived = st.session_state.get(PLACE) != here
    left = st.session_state.get(f"{LEFT} {here}", {})
    if arrived and left and not st.query_params:
        # The browser's way back forgets what stood behind the `?` of a page. What is open or picked
        # on it follows the URL that a run begins with.
        st.query_params.from_dict(left)
        st.rerun()
    st.session_state[PLACE] = here
    remember(here)
    st.html(FOCUS)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="pages"):
        st.markdown("**Seesaw**", width="content")
        _link(OVERVIEW, "All runs")
        _link(RUN, "One run")
        _link(COMPARE, "Compare")
        _link(PAIRS, "Pairs")
        _link(IMPORT, "Import")
        _link(TRAIN, "Train")
        _link(REFERENCE, "Reference")
    return arrived


def remember(here: str) -> None:
    """Keep what a page shows, as its URL says it, for the way back to it.

    For what changes in a fragment: a whole run of a page does it by itself.
    """
    state = {name: st.query_params.get_all(name) for name in st.query_params}
    st.session_state[f"{LEFT} {here}"] = state


def to_run(reading: Reading, mark: str) -> None:
    """Show the run's name as a link to its page."""
    _link(RUN, f"{mark} {literal(reading.name)}", {"run": reading.entry.key})


def to_key(key: str, label: str) -> None:
    """Show a link to the page of the run with this key."""
    _link(RUN, literal(label), {"run": key})


def to_compare(keys: Sequence[str], label: str) -> None:
    """Show a link to the comparison of the runs with these keys."""
    _link(COMPARE, label, {"runs": list(keys)})


def to_pairs(key: str, label: str) -> None:
    """Show a link to the pairs of the run with this key."""
    _link(PAIRS, label, {"run": key})


def to_train(key: str, label: str, flags: str = "") -> None:
    """Show a link to a training with the settings of the run with this key, changed by `flags`.

    `flags` are as on the command line of the trainer, `--name value …`.
    """
    words = flags.split()
    changed = {
        name.removeprefix("--"): value for name, value in zip(words[::2], words[1::2], strict=False)
    }
    _link(TRAIN, label, {"like": key} | changed)


def _link(page: str, label: str, query: Mapping[str, str | list[str]] | None = None) -> None:
    try:
        st.page_link(page, label=label, icon="", query_params=query)
    except StreamlitPageNotFoundError:
        # A page file that was started by itself has no sibling to link to.
        st.markdown(label, width="content")
