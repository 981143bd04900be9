"""What a run was made of and where its numbers come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import streamlit as st

from diagnostics.run import Run
from pages.components.text import literal

LONGEST_VALUE = 300


def settings(run: Run) -> None:
    """Show the configuration, one row a setting."""
    rows = list(_flat(run.config))
    if not rows:
        st.caption("This log carries no configuration.")
        return
    label = f"Configuration: {len(rows)} setting{'s' * (len(rows) != 1)}"
    with st.expander(label, key="settings", bind="query-params") as fold:
        if fold.open:
            st.dataframe(
                {"Setting": [name for name, _ in rows], "Value": [value for _, value in rows]},
                hide_index=True,
                height=min(420, 38 + 35 * len(rows)),
            )


def origin(run: Run) -> None:
    """Show where the log lies, who wrote it, and what in it was not understood."""
    source = run.source
    writer = f"{source.framework} {source.version or ''}"
    st.caption(f"Written by {literal(writer)}, read from {literal(source.path)}")
    for caveat in run.caveats:
        st.caption(f"△ {literal(caveat)}")
    if run.unrecognised:
        st.caption(
            f"Columns that have no entry in the schema: {literal(', '.join(run.unrecognised))}."
        )


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            text = str(value) if value not in (None, "") else "–"
            yield (
                f"{prefix}{name}",
                text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…",
            )
