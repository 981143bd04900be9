"""Where preference data lies: files, folders and hub names become raw rows, with their places.

A folder is read as one data set; where its file or folder names tell splits apart, only the files
of the wanted split are. A `dataset_info.json` in LLaMA-Factory's form describes the files beside it
and names data sets on the hub.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson

from trainer.errors import DataError
from trainer.files import PARSERS, Raw, data_suffix, nearest, one_line, parse_file, parse_json_value

DESCRIPTIONS = "dataset_info.json"
# Files that describe data and hold none; the last two are written by `Dataset.save_to_disk`.
NOT_DATA = (DESCRIPTIONS, "dataset_infos.json", "dataset_dict.json", "state.json")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class RawData:
    """Rows as they were found.

    `files` holds the path and number of rows of every file, in order, and is empty for a hub name.
    `typed` is false for CSV, where every cell is text. `description` is the LLaMA-Factory entry
    that describes the columns.
    """

    name: str
    rows: list[Raw]
    sha256: str
    files: tuple[tuple[str, int], ...] = ()
    typed: bool = True
    description: Mapping[str, Any] | None = None
    _ends: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", list(accumulate(rows for _, rows in self.files)))

    def place(self, index: int) -> str:
        """Name the file of a row and its number in that file, counted from 1.

        Examples
        --------
        >>> RawData("pairs", [{}, {}, {}], "", (("a.json", 2), ("b.json", 1))).place(2)
        'b.json, row 1'
        """
        if not self.files:
            return f"{self.name}, row {index + 1}"
        position = bisect_right(self._ends, index)
        start = self._ends[position - 1] if position else 0
        return f"{self.files[position][0]}, row {index - start + 1}"


def read_source(data: str, subset: str | None = None, split: str | None = None) -> RawData:
    """Read every row of a file, a folder, a described data set or a hub data set.

    Parameters
    ----------
    data
        A path; `folder/NAME` for the entry NAME of `folder/dataset_info.json`; or a hub name.
    subset
        The hub configuration, or the entry of a folder's `dataset_info.json`.
    split
        Which split of a folder or a hub data set, "train" when not given; a description may have
        named another. A single file has none.

    Raises
    ------
    DataError
        When nothing lies there or it cannot be read as rows.
    """
    path = Path(data)
    if path.is_dir():
        return _read_folder(path, subset, split)
    if path.is_file():
        _check_no_split(path, split)
        return _read_files(data, [path], _description_of(path))
    described = _descriptions(path.parent)
    if path.name in described:
        return _read_described(path.parent, path.name, described[path.name], subset, split)
    if HUB_NAME.fullmatch(data) and data_suffix(path) not in PARSERS:
        return _read_hub(data, subset, split)
    names = [*described, *(p.name for p in path.parent.glob("*") if data_suffix(p) in PARSERS)]
    raise DataError(
        f"Data {data!r} does not exist{nearest(path.name, names)}; "
        "give a file, a folder or a hub name such as 'owner/name'."
    )


def _read_files(name: str, paths: list[Path], description: Mapping[str, Any] | None) -> RawData:
    digest = hashlib.sha256()
    rows: list[Raw] = []
    files = []
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path} cannot be read: {error.strerror}; check the path and its permissions."
            ) from error
        digest.update(content)
        found = parse_file(path, content)
        rows += found
        files.append((str(path), len(found)))
    if not rows:
        raise DataError(f"{name} holds no rows; expected at least one preference example.")
    typed = all(data_suffix(path) not in (".csv", ".tsv") for path in paths)
    return RawData(name, rows, digest.hexdigest(), tuple(files), typed, description)


def _read_folder(folder: Path, subset: str | None, split: str | None) -> RawData:
    described = _descriptions(folder)
    if described and subset is None and len(described) == 1:
        subset = next(iter(described))
    if described:
        if subset is None:
            raise DataError(
                f"{folder} describes {len(described)} data sets; name one, for example "
                f"{str(folder / next(iter(described)))!r}."
            )
        if subset not in described:
            raise DataError(
                f"{folder / DESCRIPTIONS} has no data set {subset!r}{nearest(subset, described)}; "
                f"it describes {_listing(described)}."
            )
        return _read_described(folder, subset, described[subset], None, split)
    return _read_files(str(folder), _data_files(folder, split), None)


def _data_files(folder: Path, split: str | None) -> list[Path]:
    """List a folder's data files in order; only those of the split, where names tell splits."""
    paths = sorted(
        path
        for path in folder.rglob("*")
        if data_suffix(path) in PARSERS
        and path.name not in NOT_DATA
        and not path.name.startswith(("cache-", "."))
        and path.is_file()
    )
    if not paths:
        raise DataError(f"{folder} holds no data files; expected {', '.join(PARSERS)}.")
    word = re.compile(rf"(?<![a-z0-9]){re.escape((split or 'train').lower())}(?![a-z0-9])")
    of_split = [p for p in paths if word.search(str(p.relative_to(folder)).lower())]
    if split not in (None, "train") and not of_split:
        names = [str(path.relative_to(folder)) for path in paths]
        raise DataError(f"{folder} has no files of split {split!r}; it holds {_listing(names)}.")
    return of_split or paths


def _listing(names: Iterable[str]) -> str:
    names = list(names)
    rest = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + rest


def _descriptions(folder: Path) -> dict[str, Mapping[str, Any]]:
    """Return LLaMA-Factory's entries of a folder; `datasets` uses the file name for other things.

    Raises
    ------
    DataError
        When the file is there and is not JSON.
    """
    path = folder / DESCRIPTIONS
    if not path.is_file():
        return {}
    content = parse_json_value(path, path.read_bytes())
    if not isinstance(content, dict):
        return {}
    return {
        name: entry
        for name, entry in content.items()
        if isinstance(entry, dict) and ({"file_name", "hf_hub_url"} & entry.keys())
    }


def _description_of(path: Path) -> Mapping[str, Any] | None:
    """Return the entry that names the file, one of preference data first."""
    entries = [e for e in _descriptions(path.parent).values() if e.get("file_name") == path.name]
    entries.sort(key=lambda e: not (e.get("ranking") or "kto_tag" in (e.get("columns") or {})))
    return entries[0] if entries else None


def _read_described(
    folder: Path, name: str, entry: Mapping[str, Any], subset: str | None, split: str | None
) -> RawData:
    if "hf_hub_url" in entry:
        raw = _read_hub(
            entry["hf_hub_url"],
            subset or entry.get("subset"),
            _described_split(entry, split),
            entry.get("folder"),
        )
        return RawData(raw.name, raw.rows, raw.sha256, description=entry)
    path = folder / str(entry["file_name"])
    if not path.exists():
        raise DataError(
            f"{folder / DESCRIPTIONS}: the file {entry['file_name']!r} of data set {name!r} does "
            "not exist; put it beside its description."
        )
    if path.is_file():
        _check_no_split(path, split)
        return _read_files(str(path), [path], entry)
    return _read_files(str(path), _data_files(path, _described_split(entry, split)), entry)


def _described_split(entry: Mapping[str, Any], split: str | None) -> str | None:
    """Return the split to read: "train" only means that nobody chose another."""
    return entry.get("split", split) if split in (None, "train") else split


def _check_no_split(path: Path, split: str | None) -> None:
    if split not in (None, "train"):
        raise DataError(
            f"{path} is one file and has no split {split!r}; give the file of that split."
        )


def _read_hub(
    name: str, subset: str | None, split: str | None, folder: str | None = None
) -> RawData:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise DataError(
            f"Data {name!r} is no file or folder here, and reading it from the hub needs the "
            "package 'datasets'; install it, or give a path."
        ) from error
    try:
        rows = load_dataset(name, subset, split=split or "train", data_dir=folder).to_list()
    # The hub, its network and its file formats raise dozens of unrelated exception types.
    except Exception as error:
        raise DataError(
            f"Data {name!r} is no file or folder here, and the hub gave none by that name: "
            f"{one_line(error)}; check the name, the subset, the split and the connection."
        ) from error
    if not rows:
        raise DataError(f"{name} holds no rows; expected at least one preference example.")
    digest = hashlib.sha256()
    for row in rows:
        digest.update(orjson.dumps(row, default=repr, option=orjson.OPT_SORT_KEYS))
    return RawData(name, rows, digest.hexdigest())
