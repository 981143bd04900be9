"""The text on a regime or a pathology, as it stands in the code that checks for it."""

from __future__ import annotations

import re

import streamlit as st

from pages.components.text import literal


def explain(text: str) -> None:
    """Show a text whose flush lines are headings and whose indented ones stand under them."""
    for part in re.split(r"\n(?=\S)", text.strip()):
        heading, _, body = part.partition("\n")
        st.markdown(f"**{literal(heading)}**  \n{_paragraphs(body)}")


def _paragraphs(body: str) -> str:
    """Return the body as Markdown; lines that begin with a dash are points of a list."""
    texts = []
    for paragraph in re.split(r"\n\s*\n", body):
        first, *points = re.split(r"^\s*- ", paragraph, flags=re.MULTILINE)
        texts += [literal(first)] if first.strip() else []
        texts += ["\n".join(f"- {literal(point)}" for point in points)] if points else []
    return "\n\n".join(texts)
