"""The configuration that transformers puts into event files, as two text summaries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diagnostics.errors import ReadError
from diagnostics.readers.event_files import read_events
from diagnostics.readers.opening import json_value, names_in, open_log

TEXTS = ("model_config/text_summary", "args/text_summary")
IN_NAME = "tfevents"


def configuration(texts: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that the text summaries of a run hold, nothing where there are none.

    Examples
    --------
    >>> configuration({"args/text_summary": '{"beta": 0.1}'})
    {'beta': 0.1}
    """
    found: dict[str, Any] = {}
    for tag in TEXTS:
        # Some versions put the JSON into a Markdown code block.
        text = texts.get(tag, "").strip().removeprefix("```json").strip("`\n ")
        value = json_value(text.encode()) if text.startswith("{") else None
        if isinstance(value, dict):
            found.update(value)
    return found


def configuration_in(output: Path) -> dict[str, Any]:
    """Return the settings in the latest event file under an output folder's `runs`."""
    files = [
        output / "runs" / folder / name
        for folder in names_in(output / "runs")
        for name in names_in(output / "runs" / folder)
        if IN_NAME in name
    ]
    for file in sorted(files, key=lambda file: file.name, reverse=True)[:1]:
        try:
            with open_log(file) as stream:
                return configuration(read_events(stream).texts)
        except ReadError:
            return {}
    return {}
