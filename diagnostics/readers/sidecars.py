"""The configuration that a framework left beside its log.

`training_args.bin` holds beta too, but it is a pickle: opening it would run whatever code is in
it. It is never read, only named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from diagnostics.readers.event_config import configuration_in
from diagnostics.readers.opening import names_in
from diagnostics.readers.producers import LLAMA_FACTORY, SWIFT, TORCHTUNE, TRL

# A configuration is a few kilobytes; a larger file is something else.
LARGEST = 1 << 20
# Bounds of what is kept: configurations hold a few hundred short values.
MOST_ENTRIES, MOST_ITEMS, LONGEST = 500, 20, 500
# Launch files looked at in one folder.
MOST_LAUNCH_FILES = 10
PICKLE = "training_args.bin"

_PLACES = re.compile(r"checkpoint-\d+|runs|logs?|tensorboard|v\d+-\d+.*")


def configuration_beside(path: Path) -> dict[str, Any]:
    """Return what the files beside a log (or in a folder) say of the run's settings.

    Names are the framework's own. The file that the framework wrote for this run goes before one
    that somebody wrote; what is too large, broken or closed to us says nothing.
    """
    found: dict[str, Any] = {}
    folder = path if path.is_dir() else path.parent
    for place in _places(folder):
        names = names_in(place)
        for name, read in _readers(names):
            content = _content(place / name)
            for key, value in plain(read(content) if content else {}).items():
                found.setdefault(key, value)
        if "runs" in names:
            for key, value in plain(configuration_in(place)).items():
                found.setdefault(key, value)
        if PICKLE in names:
            found.setdefault(PICKLE, "not read: opening a pickle would run the code in it")
    return found


def _places(folder: Path) -> Iterator[Path]:
    """Yield a folder and those above it that belong to the same run."""
    yield folder
    for _ in range(2):
        inside = _PLACES.fullmatch(folder.name) or folder.parent.name == "runs"
        if not inside or folder.parent == folder:
            return
        folder = folder.parent
        yield folder


def _readers(names: list[str]) -> Iterator[tuple[str, Callable[[bytes], Mapping[str, Any]]]]:
    """Yield the files of a folder that can hold a configuration, and how each is read."""
    known: tuple[tuple[str, Callable[[bytes], Mapping[str, Any]]], ...] = (
        ("training_args.yaml", from_yaml),
        ("args.json", _swift),
        ("torchtune_config.yaml", _torchtune),
        ("config.yaml", from_yaml),
        ("adapter_config.json", _adapter),
        ("README.md", card_settings),
    )
    present = set(names)
    yield from ((name, read) for name, read in known if name in present)
    taken = {name for name, _ in known}
    others = [name for name in names if name.endswith((".yaml", ".yml")) and name not in taken]
    yield from ((name, _launch) for name in others[:MOST_LAUNCH_FILES])


def _content(path: Path) -> bytes:
    """Return a small file's content; nothing for what is too large or cannot be read."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except (OSError, ValueError):
        return b""
    return content if len(content) <= LARGEST else b""


def from_yaml(content: bytes) -> Mapping[str, Any]:
    """Return the mapping of a YAML text; nothing where there is none."""
    try:
        import yaml
    except ImportError:  # the dashboard alone does without
        return {}
    try:
        loaded = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _from_json(content: bytes) -> Mapping[str, Any]:
    try:
        loaded = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _swift(content: bytes) -> Mapping[str, Any]:
    found = dict(_from_json(content))
    # HALOs and others write an args.json too; ms-swift's alone knows these.
    if found.keys() & {"rlhf_type", "swift_version", "train_type", "tuner_backend"}:
        found["framework"] = SWIFT
    return found


def _torchtune(content: bytes) -> Mapping[str, Any]:
    return {"framework": TORCHTUNE, **from_yaml(content)}


def _adapter(content: bytes) -> Mapping[str, Any]:
    names = ("peft_type", "r", "lora_alpha", "base_model_name_or_path")
    return {key: value for key, value in _from_json(content).items() if key in names}


_LAUNCH = frozenset(
    ("pref_beta", "pref_loss", "beta", "loss_type", "stage", "rlhf_type", "rl", "rl_beta")
)


def _launch(content: bytes) -> Mapping[str, Any]:
    """Return a launch file's settings, where it is one of a preference training."""
    found = from_yaml(content)
    return found if found.keys() & _LAUNCH else {}


def plain(config: Mapping[str, Any], depth: int = 2) -> dict[str, Any]:
    """Return a configuration cut down to numbers, short texts, short lists and one level below.

    YAML can name one value many times over, and a name for a name: as text such a file may be
    larger than any memory.
    """
    kept: dict[str, Any] = {}
    for key, value in config.items():
        if len(kept) >= MOST_ENTRIES:
            break
        if not isinstance(key, str) or len(key) > LONGEST:
            continue
        if isinstance(value, bool | int | float) or value is None:
            kept[key] = value
        elif isinstance(value, str):
            kept[key] = value[:LONGEST]
        elif isinstance(value, list | tuple):
            items = value[:MOST_ITEMS]
            if all(isinstance(one, bool | int | float | str) for one in items):
                kept[key] = [one[:LONGEST] if isinstance(one, str) else one for one in items]
        elif isinstance(value, Mapping) and depth > 1:
            kept[key] = plain(value, depth - 1)
    return kept


# -- Model cards ---------------------------------------------------------------------------------

_TAGS = {
    "llama-factory": ("framework", LLAMA_FACTORY),
    "trl": ("framework", TRL),
    "swift": ("framework", SWIFT),
}
_METHODS = ("dpo", "kto", "orpo", "cpo", "simpo", "bco")
_TRAINED = re.compile(r"trained with (?:\[)?(DPO|KTO|ORPO|CPO|SimPO|BCO)\b")
_SETTING = re.compile(r"^- ([a-z_]+): ([^\n]{1,80})$", re.MULTILINE)
_VERSION = re.compile(r"^- (TRL|Transformers|PEFT|Pytorch):? v?(\S{1,40})$", re.MULTILINE | re.I)


def card_settings(content: bytes) -> Mapping[str, Any]:
    """Return what a Hugging Face model card says of the training: tags, settings, versions."""
    text = content.decode("utf-8", errors="replace").replace("\r\n", "\n")
    found: dict[str, Any] = {}
    tags = _front_matter(text).get("tags")
    tags = [str(tag).lower() for tag in tags] if isinstance(tags, list) else []
    for tag in tags:
        if tag in _TAGS:
            found.setdefault(*_TAGS[tag])
    trained = _TRAINED.search(text)
    method = trained[1].lower() if trained else next((t for t in tags if t in _METHODS), None)
    if method:
        found["method"] = method
    for key, value in _SETTING.findall(text):
        found.setdefault(key, _scalar(value))
    for name, number in _VERSION.findall(text):
        found[f"{name.lower()}_version"] = number
    return found


def _front_matter(text: str) -> Mapping[str, Any]:
    """Return the YAML header of a Markdown file."""
    if not text.startswith("---\n"):
        return {}
    header, end, _ = text[4:].partition("\n---")
    return from_yaml(header.encode()) if end else {}


def _scalar(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
