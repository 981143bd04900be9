"""The report: one HTML file of a run or of a comparison, to keep and to pass on."""

from __future__ import annotations

import re
from collections.abc import Sequence

import streamlit as st

from diagnostics.diagnosis import Diagnosis
from diagnostics.report import page

LONGEST_NAME = 60
_NOT_IN_NAMES = re.compile(r"[^\w.-]+")


def button(
    diagnoses: Sequence[Diagnosis],
    name: str,
    matched: str = "step",
    places: Sequence[int] | None = None,
) -> None:
    """Show a button that makes the report when it is clicked; nothing without a diagnosis.

    `name` is what the file is called, whatever signs it holds. `matched` says where several runs
    are held against each other: the same "step", "margin" or "drift". `places` are the runs'
    places among all runs, by which they keep their colours.
    """
    if not diagnoses:
        return
    found = tuple(diagnoses)
    st.download_button(
        "Report",
        lambda: page(found, matched=matched, places=places).encode(),
        file_name=f"{file_name(name)}.html",
        mime="text/html",
        help="One HTML file with the figures and numbers, which opens offline.",
        on_click="ignore",
        key="report",
    )


def file_name(name: str) -> str:
    """Return a name that every file system takes, made from untrusted text.

    Examples
    --------
    >>> file_name("../my run <b>"), file_name("***")
    ('my-run-b', 'seesaw')
    """
    return _NOT_IN_NAMES.sub("-", name)[:LONGEST_NAME].strip("-._") or "seesaw"
