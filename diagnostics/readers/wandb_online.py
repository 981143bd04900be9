"""W&B runs on a server: `wandb:entity/project/run`, a project, or a sweep, when there is a key.

Only the keys of the preference log are asked for, in pages, train and eval apart (W&B gives the
rows that hold all keys of a question). What a run has sent is kept on disk and asked for again
only when the run has gone on.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from diagnostics.errors import DiagnosticsError, ReadError, UnknownFormat
from diagnostics.logcontents import one_line
from diagnostics.readers.aliases import alias
from diagnostics.readers.assembly import assemble
from diagnostics.readers.contract import NO_HINTS, Hints
from diagnostics.readers.keys import STEP_KEYS, place
from diagnostics.readers.opening import json_value
from diagnostics.readers.wandb import ended, tracked
from diagnostics.run import Run
from diagnostics.schema import METRICS

PREFIX = "wandb:"
PAGE_ROWS = 1000
MOST_RUNS = 500
CACHE_VARIABLE = "SEESAW_CACHE"
# What every row is asked for beside its metrics.
_ALWAYS = ("_step", "_timestamp")
# Of no use to an analysis, and as many as there are layers or devices.
_NOT_ASKED = re.compile(r"(gradients|parameters|system|profiling|memory)[/.(]")
# Metrics that trainers log beside the schema's and that say who wrote a log, and how.
_SIGNS = frozenset(
    ("num_tokens", "mean_token_accuracy", "entropy", "nll_loss", "sft_loss", "odds_ratio_loss")
) | frozenset(("log_odds_chosen", "delta", "logits/chosen", "logits/rejected", "loss_mean"))

# How W&B says that a run has ended; a run whose log is complete has, whatever W&B says.
_ENDED = {
    "finished": "completed",
    "crashed": "failed",
    "failed": "failed",
    "killed": "stopped",
    "preempted": "stopped",
}

Say = Callable[[str], None]


def is_address(path: str | os.PathLike[str]) -> bool:
    """Say whether a path is the address of runs on a W&B server.

    Examples
    --------
    >>> is_address("wandb:me/dpo/abc123"), is_address("wandb/offline-run-1")
    (True, False)
    """
    return os.fspath(path).startswith(PREFIX)


def online_address(text: str) -> str:
    """Return the address of a run or a project on W&B, however it was copied.

    Examples
    --------
    >>> online_address("https://wandb.ai/me/dpo/runs/abc123?nw=x")
    'wandb:me/dpo/abc123'
    >>> online_address("me/dpo"), online_address("wandb:me/dpo/sweeps/s1")
    ('wandb:me/dpo', 'wandb:me/dpo/sweeps/s1')
    >>> online_address("wandb://me/dpo/"), online_address("https://wandb.ai/me/dpo/workspace")
    ('wandb:me/dpo', 'wandb:me/dpo')
    """
    place = text.strip().removeprefix(PREFIX).partition("?")[0].strip("/")
    if place.startswith(("https://", "http://")):
        place = place.split("/", 3)[-1].replace("/runs/", "/").removesuffix("/workspace")
    return PREFIX + place


def read(
    address: str, hints: Hints = NO_HINTS, client: Any = None, say: Say | None = None
) -> tuple[Run, ...]:
    """Return the runs at an address: one run, those of a sweep, or those of a project.

    `client` is W&B's public API, made from the key of the environment when None. `say` is told
    how far the reading is.

    Raises
    ------
    UnknownFormat
        When the address has not the form entity/project[/run] or entity/project/sweeps/sweep.
    ReadError
        When there is no key, no such run, or the server does not answer.
    """
    parts = address.removeprefix(PREFIX).strip("/").split("/")
    if not 2 <= len(parts) <= 4 or not all(parts) or (len(parts) == 4 and parts[2] != "sweeps"):
        raise UnknownFormat(
            f"{address}: is no address of W&B, expected wandb:entity/project/run,"
            " wandb:entity/project or wandb:entity/project/sweeps/sweep; copy it from the page"
        )
    client = client or client_of(address)
    said = say or _say_on_terminal
    runs = []
    with answers(address):
        found = _runs(client, parts)
        for number, run in enumerate(found, start=1):
            if len(found) > 1:
                said(f"{address}: run {number} of {len(found)}")
            runs.append(read_run(run, address, hints, part=len(found) > 1, say=said))
    if not runs:
        raise ReadError(
            f"{address}: holds no runs, expected at least one; check the address on the page"
        )
    return tuple(runs)


@contextmanager
def answers(address: str) -> Iterator[None]:
    """Have whatever W&B's client raises end as one sentence.

    Raises
    ------
    ReadError
        When there is no such run, or the server does not answer.
    """
    try:
        yield
    except DiagnosticsError:
        raise
    # W&B's client raises errors of several libraries, some of them plain exceptions.
    except Exception as error:
        raise ReadError(
            f"{address}: cannot be read from W&B ({one_line(error)[:200]}), expected runs that"
            " your key may see; check the address, the key and the connection"
        ) from None


def client_of(address: str) -> Any:
    """Return W&B's public API, for a question about an address.

    Raises
    ------
    ReadError
        When W&B is not installed or there is no key.
    """
    cure = "set WANDB_API_KEY, or run wandb login"
    try:
        # Not among what the analysis needs: who has runs on a server has the library.
        wandb = import_module("wandb")
        if not _would_ask() or wandb.login(prompt=False):
            return wandb.Api(timeout=30)
        problem = "no key was found"
    except ImportError:
        problem, cure = "wandb is not installed", "pip install wandb"
    except Exception as error:
        problem = one_line(error)[:120].lower().rstrip(".")
        cure += ", and check the connection"
    raise ReadError(
        f"{address}: cannot be asked for ({problem}), expected a key for W&B; {cure}"
    ) from None


def _would_ask() -> bool:
    """Say whether W&B would ask a terminal for a key that nobody there waits to be asked for.

    The terminal of a server belongs to nobody who looks at its pages: its thread would wait.
    """
    known = os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE")
    in_thread = threading.current_thread() is not threading.main_thread()
    return not known and in_thread and sys.stdin is not None and sys.stdin.isatty()


def _runs(client: Any, parts: Sequence[str]) -> list[Any]:
    if len(parts) == 4:
        return list(client.sweep("/".join((*parts[:2], parts[3]))).runs)[:MOST_RUNS]
    if len(parts) == 3:
        return [client.run("/".join(parts))]
    return newest_runs(client, "/".join(parts))[::-1]


def newest_runs(client: Any, project: str) -> list[Any]:
    """Return the runs of a project as W&B's client gives them, `MOST_RUNS` at most.

    The newest comes first. Only what the list itself says of a run is known of it yet.
    """
    listed = client.runs(project, order="-created_at", per_page=50)
    return list(islice(listed, MOST_RUNS))


def read_run(
    run: Any, address: str, hints: Hints = NO_HINTS, *, part: bool = False, say: Say | None = None
) -> Run:
    """Return one run of W&B's client; `part` says that the address holds others too."""
    rows = _rows(run, say or _say_on_terminal)
    summary = _plain(run.summary)
    records = tracked(rows)
    runtime = summary.get("train_runtime")
    if runtime is not None:
        records = ended(records, runtime)
    config = {key: value for key, value in _plain(run.config).items() if key[:1] != "_"}
    found = assemble(
        records,
        path=Path(address),
        reader="wandb-online",
        config=config,
        name=str(run.name or run.id),
        part=str(run.id) if part else None,
        hints=hints,
    )
    if found.status != "running":
        return found
    return replace(found, status=_ENDED.get(run.state, found.status))


def _rows(run: Any, say: Say) -> list[dict[str, Any]]:
    """Return the history of a run, from the disk where it has not gone on since."""
    file = _cache_file(run)
    mark = [getattr(run, "lastHistoryStep", None), run.state]
    kept = _kept(file)
    if kept is not None and kept[0] == mark and mark[0] is not None:
        return kept[1]
    rows = _history(run, say)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_bytes(orjson.dumps([mark, rows], default=str))
        partial.replace(file)
    except (OSError, TypeError):
        say(f"{file}: cannot be kept; the run will be asked for again")
    return rows


def _history(run: Any, say: Say) -> list[dict[str, Any]]:
    """Return the rows of the needed keys, those of one kind merged by W&B's count of calls."""
    merged: dict[Any, dict[str, Any]] = {}
    for keys in _questions(_names(run)):
        for number, row in enumerate(run.scan_history(keys=keys, page_size=PAGE_ROWS), start=1):
            merged.setdefault(row.get("_step"), {}).update(row)
            if number % (10 * PAGE_ROWS) == 0:
                say(f"{run.name}: {number} rows")
    return [merged[count] for count in sorted(merged, key=lambda c: (c is None, c or 0))]


def _names(run: Any) -> list[str]:
    """Return the names of the metrics of a run."""
    keys = getattr(run, "history_keys", None)
    known = keys.get("keys") if isinstance(keys, Mapping) else None
    return sorted(known) if isinstance(known, Mapping) and known else sorted(_plain(run.summary))


def _questions(names: Iterable[str]) -> list[list[str]]:
    """Return the keys to ask for, one list for each kind of row.

    W&B answers with the rows that hold every key of a list, so a metric that only some rows have
    gets a question of its own.
    """
    steps = [name for name in names if name in STEP_KEYS or name.endswith("/global_step")]
    wanted: dict[str, list[str]] = {}
    for name in names:
        kind, bare = place(name)
        known = bare in METRICS or bare in _SIGNS or alias(bare) is not None
        if not known or name in steps or name.startswith("_") or _NOT_ASKED.match(name):
            continue
        # What every row of a kind holds is asked for at once; the rest one by one.
        together = bare.startswith(("rewards/", "logps/", "logits/")) or bare == "loss"
        wanted.setdefault(f"{kind}" if together else name, []).append(name)
    # Rows of train and eval state the step under one name where transformers wrote them.
    step = next((name for name in ("train/global_step", *steps) if name in steps), None)
    always = [*_ALWAYS, step] if step else list(_ALWAYS)
    return [[*found, *always] for found in wanted.values()]


def _plain(value: Any) -> dict[str, Any]:
    """Return a configuration or a summary of W&B as a dictionary."""
    inner = getattr(value, "_json_dict", value)
    return dict(inner) if isinstance(inner, Mapping) else {}


def _cache_file(run: Any) -> Path:
    home = os.environ.get(CACHE_VARIABLE)
    folder = Path(home) if home else Path.home() / ".cache" / "seesaw"
    name = "/".join(map(str, run.path)) if not isinstance(run.path, str) else run.path
    return folder / "wandb" / f"{hashlib.blake2b(name.encode(), digest_size=12).hexdigest()}.json"


def _kept(file: Path) -> tuple[Any, list[dict[str, Any]]] | None:
    try:
        value = json_value(file.read_bytes())
    except OSError:
        return None
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], list):
        return None
    return value[0], [row for row in value[1] if isinstance(row, dict)]


def _say_on_terminal(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"{text}\n")
