"""Who may import whom.

The laws are read from the syntax tree, so an import inside a function counts too; what an import
really loads is checked in a process of its own. Every checker is shown a planted violation.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("diagnostics", "trainer", "pages")

# -- The laws ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """What the files of a room may import beside the standard library; the first match rules.

    `never` overrules everything else, the standard library included. `in_functions` holds what
    may be imported inside a function only; "*" stands for anything.
    """

    rooms: tuple[str, ...]
    may: frozenset[str] = frozenset()
    in_functions: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


FACTS = names(
    "diagnostics.band diagnostics.errors diagnostics.gradient_weights diagnostics.hyperparameters "
    "diagnostics.methods diagnostics.schema"
)
LOG = names("diagnostics.logcontents diagnostics.pairtables diagnostics.runlog")
NUMBERS = names("numpy pandas scipy")
OTHER_ROOMS = names("torch transformers accelerate peft datasets streamlit trainer pages")

LAWS = (
    Law(
        tuple(sorted(f"{name.replace('.', '/')}.py" for name in FACTS)),
        may=FACTS,
    ),
    Law(("diagnostics/__init__.py",)),
    Law(
        tuple(f"diagnostics/{m}.py" for m in ("logcontents", "pairtables", "runlog")),
        may=names("orjson pyarrow") | FACTS | LOG,
    ),
    Law(
        ("diagnostics/figures/*.py",),
        may=NUMBERS | names("plotly diagnostics"),
        # A figure is handed its data: it opens no file.
        never=OTHER_ROOMS | LOG | names("diagnostics.readers os io pathlib"),
    ),
    Law(
        ("diagnostics/readers/*.py",),
        may=NUMBERS | names("orjson pyarrow diagnostics"),
        in_functions=names("*"),  # a format's own library
        never=OTHER_ROOMS | names("plotly diagnostics.figures diagnostics.pathologies"),
    ),
    Law(("diagnostics/*.py",), may=NUMBERS | names("diagnostics"), never=OTHER_ROOMS),
    Law(
        ("trainer/*.py",),
        may=names(
            "torch transformers tokenizers safetensors accelerate peft datasets numpy trainer"
        )
        | names("jinja2 orjson pyarrow tqdm yaml")
        | names("diagnostics.methods diagnostics.runlog diagnostics.schema diagnostics.errors")
        | names("diagnostics.band"),
        in_functions=names("wandb"),
        never=names("pandas plotly streamlit pages"),
    ),
    Law(("app.py",), may=names("streamlit pages.components.ready")),
    Law(
        ("pages/components/ready.py",),
        may=names("streamlit starlette diagnostics.figures pages.components"),
    ),
    Law(("pages/*.py",), may=names("streamlit diagnostics pages.components")),
)

# Inside diagnostics a module imports only what stands in an earlier line than its own, or a
# sibling of its own family.
DIRECTION = (
    "errors layout stylesheet schema band gradient_weights hyperparameters intervals regimes",
    "verdicts meaning",
    "markup",
    "methods",
    "flags logcontents notes pairtables",
    "runlog",
    "run",
    "joinpoints blocks walks renewal",
    "stability",
    "trends",
    "watch levels",
    "share",
    "attribution entanglement",
    "series naming probegrid",
    "probephases logphases",
    "phases",
    "forecast",
    "readers reading",
    "tracks axis parts",
    "windows paircauses flips events",
    "causes",
    "remedies",
    "lossremedies dataremedies",
    "ktoremedies",
    "advice",
    "examples synthetic_logs",
    "probe_examples",
    "pathologies",
    "diagnosis",
    "pairs",
    "pairmarks completions reliability",
    "droplist",
    "comparison contrasts configurations",
    "seeds courses",
    "standings",
    "summary groups",
    "comparisontables runtables tables figures",
    "reportcomparison",
    "terminal report interchange",
    "cli",
    "__main__",
)
LEVEL = {name: level for level, line in enumerate(DIRECTION) for name in line.split()}


# -- Reading imports -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    module: str
    line: int
    in_function: bool


def imports_of(source: str, modules: frozenset[str] = frozenset()) -> list[Import]:
    """Return every import of a source text; `modules` are the dotted names of our own files."""
    return list(_imports(ast.parse(source), modules, in_function=False))


def _imports(node: ast.AST, modules: frozenset[str], in_function: bool) -> Iterator[Import]:
    for name in _imported_names(node, modules):
        yield Import(name, getattr(node, "lineno", 0), in_function)
    inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(node):
        yield from _imports(child, modules, inside)


def _imported_names(node: ast.AST, modules: frozenset[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = "." * node.level + (node.module or "")
        full = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name in modules else base for name in full]
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
        "import_module",
        "__import__",
    ):
        first = node.args[0] if node.args else None
        return [str(first.value) if isinstance(first, ast.Constant) else "<a computed name>"]
    return []


def covers(allowed: frozenset[str], module: str) -> bool:
    return "*" in allowed or any(
        module == name or module.startswith(f"{name}.") for name in allowed
    )


def broken_laws(path: str, source: str, modules: frozenset[str] = frozenset()) -> list[str]:
    """Return one line for each import of `path` that its law does not allow."""
    law = next((law for law in LAWS if any(fnmatch(path, room) for room in law.rooms)), None)
    if law is None:
        return []
    broken = []
    for found in imports_of(source, modules):
        standard = found.module.split(".")[0] in sys.stdlib_module_names
        allowed = standard or covers(law.may, found.module)
        allowed = allowed or (found.in_function and covers(law.in_functions, found.module))
        if covers(law.never, found.module) or not allowed:
            broken.append(f"{path}:{found.line} imports {found.module}")
    return broken


def wrong_directions(path: str, source: str, modules: frozenset[str] = frozenset()) -> list[str]:
    """Return one line for each import inside diagnostics that points upwards or sideways."""
    own = Path(path).with_suffix("").parts[1]
    if own == "__init__":
        return []
    if own not in LEVEL:
        return [f"{path}: {own} has no place in DIRECTION"]
    wrong = []
    for found in imports_of(source, modules):
        room, _, rest = found.module.partition(".")
        other = rest.split(".")[0]
        if room == "diagnostics" and other != own and not LEVEL.get(other, 99) < LEVEL[own]:
            wrong.append(f"{path}:{found.line} imports {found.module}")
    return wrong


# -- The house as it stands ----------------------------------------------------------------------


def python_files(*folders: str) -> list[str]:
    files = (file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


OURS = [*python_files(*ROOMS), "app.py"]
MODULES = frozenset(map(dotted, OURS))


@pytest.mark.parametrize("path", OURS)
def test_every_file_keeps_the_import_law_of_its_room(path: str) -> None:
    assert broken_laws(path, (ROOT / path).read_text(), MODULES) == []


@pytest.mark.parametrize("path", python_files("diagnostics"))
def test_imports_inside_diagnostics_point_one_way(path: str) -> None:
    assert wrong_directions(path, (ROOT / path).read_text(), MODULES) == []


def loaded_by(modules: list[str], *flags: str) -> set[str]:
    """Return the top-level names in `sys.modules` after a fresh process imported `modules`."""
    code = "\n".join([*(f"import {name}" for name in modules), "import sys; print(*sys.modules)"])
    command = [sys.executable, *flags, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


def test_the_facts_import_without_any_installed_library() -> None:
    # -S hides the installed libraries.
    loaded = loaded_by(sorted(FACTS), "-S")
    assert loaded - sys.stdlib_module_names <= {"__main__", "__mp_main__", "diagnostics"}


def test_the_run_log_loads_no_tables_and_no_figures() -> None:
    assert loaded_by(["diagnostics.runlog"]).isdisjoint({"pandas", "plotly", "scipy", "torch"})


def test_all_of_diagnostics_loads_neither_torch_nor_streamlit() -> None:
    modules = [dotted(path) for path in python_files("diagnostics")]
    loaded = loaded_by(modules)
    assert "diagnostics" in loaded
    assert loaded.isdisjoint(OTHER_ROOMS | {"wandb"})


def test_reading_and_diagnosing_loads_no_library_that_is_slow_to_start() -> None:
    # scipy.stats takes as long as all the rest together, and the first page waits for it.
    code = "import diagnostics.diagnosis, diagnostics.readers, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "diagnostics.diagnosis" in done.stdout.split(), done.stderr
    assert {"scipy.stats", "scipy.optimize", "matplotlib"}.isdisjoint(done.stdout.split())


def test_all_of_the_trainer_loads_no_tables_figures_or_pages() -> None:
    modules = [dotted(path) for path in python_files("trainer")]
    assert loaded_by(modules).isdisjoint({"pandas", "plotly", "streamlit", "pages"})


# -- Every checker sees a planted violation ------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("diagnostics/schema.py", "import numpy"),
        ("diagnostics/runlog.py", "import pandas as pd"),
        ("diagnostics/share.py", "import torch"),
        ("diagnostics/share.py", "def f():\n    import torch.nn"),
        ("diagnostics/share.py", "if TYPE_CHECKING:\n    from trainer import config"),
        ("diagnostics/tables.py", "import plotly.graph_objects as go"),
        ("diagnostics/figures/plane.py", "import streamlit as st"),
        ("diagnostics/figures/plane.py", "from pathlib import Path"),
        ("diagnostics/figures/plane.py", "from diagnostics import runlog"),
        ("diagnostics/readers/board.py", "import tensorboard"),
        ("diagnostics/readers/board.py", "def f():\n    from diagnostics.figures import plane"),
        ("trainer/train.py", "def f():\n    import pandas"),
        ("trainer/train.py", "from diagnostics import share"),
        ("trainer/sinks.py", "import wandb"),
        ("trainer/losses/dpo.py", "from .contract import Loss"),
        ("trainer/losses/dpo.py", "import importlib\nimportlib.import_module('pan' + 'das')"),
        ("pages/overview.py", "import numpy as np"),
        ("pages/components/text.py", "__import__('trainer.config')"),
        ("pages/overview.py", "from pages import run"),
        ("app.py", "from diagnostics import schema"),
    ],
)
def test_a_forbidden_import_is_seen(path: str, source: str) -> None:
    known = frozenset({"diagnostics.runlog", "diagnostics.share", "diagnostics.schema"})
    (broken,) = broken_laws(path, source, known)
    assert broken.startswith(path)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("diagnostics/readers/board.py", "def f():\n    import tensorboard"),
        ("trainer/sinks.py", "def f():\n    import wandb"),
        ("trainer/metrics.py", "from diagnostics import schema"),
        ("pages/overview.py", "from pages.components import text"),
    ],
)
def test_an_allowed_import_is_let_through(path: str, source: str) -> None:
    assert broken_laws(path, source, frozenset({"diagnostics.schema"})) == []


def test_an_import_against_the_direction_is_seen() -> None:
    assert wrong_directions("diagnostics/share.py", "from diagnostics.phases import Regime")
    assert wrong_directions("diagnostics/readers/a.py", "from diagnostics.tables import table")
    assert wrong_directions("diagnostics/newcomer.py", "") == [
        "diagnostics/newcomer.py: newcomer has no place in DIRECTION"
    ]
    assert not wrong_directions("diagnostics/readers/a.py", "from diagnostics.readers.b import c")
