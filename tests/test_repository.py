"""The shape of the repository: sizes, names, families, pins, and a README that tells the truth.

Every checker is shown a planted violation.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FUNCTION_LINES = 60
FILE_LINES = 420  # "about 400": no file is split for a handful of lines
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "managers"}
Need = Callable[[object, str], None]
# Where an installed library is called otherwise than its import.
DISTRIBUTIONS = {"yaml": "pyyaml"}
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|tmp|root|home)/\w")

# -- Sizes, names, families ----------------------------------------------------------------------


def long_functions(path: str, source: str) -> list[str]:
    functions = (
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = ((f, (f.end_lineno or f.lineno) - f.lineno + 1) for f in functions)
    return [f"{path}:{f.lineno} {f.name}: {n} lines" for f, n in lengths if n > FUNCTION_LINES]


def forbidden_parts(path: str) -> set[str]:
    return {Path(part).stem for part in Path(path).parts} & FORBIDDEN_NAMES


@dataclass(frozen=True)
class Family:
    folder: str
    record: str  # what each member defines
    listing: str  # the tuple in __init__.py
    beside: frozenset[str] = frozenset({"__init__", "contract"})  # files that are no members
    parts: bool = False  # whether a file that defines no record is a part of its siblings


FAMILIES = (
    Family("trainer/losses", "LOSS", "LOSSES"),
    Family("trainer/probes", "PROBE", "PROBES"),
    Family(
        "diagnostics/readers",
        "READER",
        "READERS",
        parts=True,
    ),
    Family("trainer/casebook", "EXPERIMENT", "EXPERIMENTS", parts=True),
)


def assigned(source: str) -> dict[str, ast.expr]:
    """Return the values that a module binds to names at its top level."""
    values: dict[str, ast.expr] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign):
            values |= {ast.unparse(target): node.value for target in node.targets}
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            values[ast.unparse(node.target)] = node.value
    return values


def unregistered(family: Family, members: dict[str, str], init: str) -> list[str]:
    """Return what is wrong with a family: members that define nothing or are not listed.

    `members` maps a member's module name to its source; `init` is the source of `__init__.py`.
    """
    listing = assigned(init).get(family.listing)
    if not isinstance(listing, ast.Tuple):
        return [f"{family.folder}/__init__.py has no tuple {family.listing}"]
    aliases = {  # `from family.member import RECORD as alias`
        alias.asname or alias.name: (node.module or "").split(".")[-1]
        for node in ast.parse(init).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == family.record
    }
    elements = [ast.unparse(element) for element in listing.elts]
    listed = {aliases.get(text, text.removesuffix(f".{family.record}")) for text in elements}
    wrong = [
        f"{family.folder}/{name}.py defines no {family.record}"
        for name, source in members.items()
        if family.record not in assigned(source)
    ]
    wrong += [f"{name} is not listed in {family.listing}" for name in sorted({*members} - listed)]
    return wrong + [f"{name} is no member" for name in sorted(listed - {*members})]


# -- The README's tree ---------------------------------------------------------------------------


def tree_of(text: str) -> dict[str, str]:
    """Return {path: purpose} from the indented tree that follows the heading "The tree".

    A folder's path ends in a slash; two spaces of indentation are one level.
    """
    found = re.search(r"^## The tree\n.*?^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    parents: list[str] = []
    tree = {}
    for line in found.group(1).splitlines() if found else []:
        name, _, purpose = line.strip().partition(" ")
        level = (len(line) - len(line.lstrip())) // 2
        parents[level:] = [name]
        tree["".join(parents)] = purpose.strip()
    return tree


def tree_errors(tree: dict[str, str], tracked: list[str]) -> list[str]:
    """Return what the tree misses, invents or leaves unexplained.

    A folder with no children in the tree stands for all it holds; of a folder with children, every
    file must be there.
    """
    folders = {f"{parent}/" for path in tracked for parent in Path(path).parents[:-1]}
    open_folders = {f"{Path(path).parent}/" for path in tree if "/" in path.rstrip("/")} | {"./"}
    due = {
        entry
        for entry in folders.union(tracked)
        if f"{Path(entry).parent}/" in open_folders and Path(entry).name != "__init__.py"
    }
    return (
        [f"{path} is not in the tree" for path in sorted(due - {*tree})]
        + [f"{path} does not exist" for path in sorted({*tree} - {*tracked} - folders)]
        + [f"{path} has no purpose" for path, purpose in tree.items() if not purpose]
    )


# -- Pins ----------------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    """Return {library: version} of a requirements file and of those it includes.

    A line that pins nothing keeps the empty version.
    """
    found: dict[str, str] = {}
    for line in (ROOT / name).read_text().splitlines():
        text = line.split("#")[0].strip()
        if text.startswith("-r "):
            found |= pins(text.removeprefix("-r "))
        elif text:
            library, _, version = text.partition("==")
            found[library.lower()] = version
    return found


def libraries(*folders: str) -> set[str]:
    """Return the installed libraries that the files of some folders import, as pip names them."""
    trees = [ast.parse((ROOT / path).read_text()) for path in python_files(*folders)]
    imported = {
        name.split(".")[0]
        for node in (node for tree in trees for node in ast.walk(tree))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    # Tests may import a file that stands beside them by its bare name.
    ours = {
        "diagnostics",
        "trainer",
        "pages",
        "tests",
        "benchmarks",
        *(Path(p).stem for p in python_files("tests")),
    }
    return {DISTRIBUTIONS.get(name, name) for name in imported - sys.stdlib_module_names - ours}


# -- The repository as it stands -----------------------------------------------------------------


def python_files(*folders: str) -> list[str]:
    files = (file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


@pytest.fixture(scope="module")
def tracked(need: Need) -> list[str]:
    """Every file under version control, as a path from the root."""
    need(shutil.which("git") and (ROOT / ".git").exists(), "this is not a git checkout")
    command = ["git", "ls-files", "-z"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for path in listing.split("\0") if path and (ROOT / path).exists()]


@pytest.mark.parametrize(
    "path",
    ["app.py", *python_files("diagnostics", "trainer", "pages", "tests", "benchmarks")],
)
def test_functions_and_files_stay_short(path: str) -> None:
    source = (ROOT / path).read_text()
    assert long_functions(path, source) == []
    assert source.count("\n") <= FILE_LINES
    assert forbidden_parts(path) == set()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.folder)
def test_every_member_of_a_family_is_listed(family: Family) -> None:
    folder = ROOT / family.folder
    members = {f.stem: f.read_text() for f in folder.glob("*.py") if f.stem not in family.beside}
    if family.parts:
        members = {name: s for name, s in members.items() if family.record in assigned(s)}
    init = folder / "__init__.py"
    assert unregistered(family, members, init.read_text() if init.exists() else "") == []


def test_the_tree_in_the_readme_is_the_real_tree(tracked: list[str]) -> None:
    tree = tree_of((ROOT / "README.md").read_text())
    assert {"app.py", "diagnostics/schema.py", "trainer/losses/"} <= {*tree}
    assert tree_errors(tree, [path for path in tracked if not path.startswith(".git")]) == []


def test_no_file_names_a_place_on_one_machine(tracked: list[str]) -> None:
    texts = (path for path in tracked if not path.startswith("tests/"))
    found = [
        f"{path}:{number}"
        for path in texts
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("requirements", "folders"),
    [
        ("requirements-dashboard.txt", ("diagnostics", "pages")),
        ("requirements.txt", ("diagnostics", "pages", "trainer")),
        ("requirements-dev.txt", ("diagnostics", "pages", "trainer", "tests", "benchmarks")),
    ],
)
def test_whatever_is_imported_is_pinned(requirements: str, folders: tuple[str, ...]) -> None:
    pinned = pins(requirements)
    assert [library for library, version in pinned.items() if not version] == []
    assert libraries(*folders) - {*pinned} == set()


# -- Every checker sees a planted violation ------------------------------------------------------


def test_a_long_function_is_seen() -> None:
    body = "    x = 1\n"
    assert not long_functions("a.py", "def f():\n" + body * (FUNCTION_LINES - 1))
    assert long_functions("a.py", "def f():\n" + body * FUNCTION_LINES) == ["a.py:1 f: 61 lines"]


def test_a_name_that_says_nothing_is_seen() -> None:
    assert forbidden_parts("trainer/utils.py") == {"utils"}
    assert forbidden_parts("pages/helpers/text.py") == {"helpers"}
    assert forbidden_parts("trainer/packing.py") == set()


@pytest.mark.parametrize(
    "init",
    [
        "from trainer.losses import dpo\nLOSSES = (dpo.LOSS,)",
        "from trainer.losses.dpo import LOSS as DPO\nLOSSES: tuple[Loss, ...] = (DPO,)",
    ],
)
def test_a_member_that_is_not_listed_is_seen(init: str) -> None:
    family = FAMILIES[0]
    dpo = {"dpo": "LOSS = Loss()"}
    assert unregistered(family, dpo, init) == []
    assert unregistered(family, {**dpo, "kto": "LOSS = Loss()"}, init) == [
        "kto is not listed in LOSSES"
    ]
    assert unregistered(family, {"dpo": "x = 1"}, init) == ["trainer/losses/dpo.py defines no LOSS"]
    assert unregistered(family, {}, init) == ["dpo is no member"]
    assert unregistered(family, dpo, "") == ["trainer/losses/__init__.py has no tuple LOSSES"]


def test_a_tree_that_differs_is_seen() -> None:
    readme = """# Name

## The tree

Words.

```text
app.py           the list of pages
diagnostics/     analysis
  schema.py      metrics
  readers/       one format a file
```
"""
    tree = tree_of(readme)
    files = [
        "app.py",
        "diagnostics/__init__.py",
        "diagnostics/schema.py",
        "diagnostics/readers/a.py",
    ]
    assert tree["diagnostics/readers/"] == "one format a file"
    assert tree_errors(tree, files) == []
    assert tree_errors(tree, [*files, "Makefile"]) == ["Makefile is not in the tree"]
    assert tree_errors(tree, [*files, "diagnostics/run.py"]) == [
        "diagnostics/run.py is not in the tree"
    ]
    assert tree_errors(tree, files[1:]) == ["app.py does not exist"]
    assert tree_errors({**tree, "app.py": ""}, files) == ["app.py has no purpose"]


@pytest.mark.parametrize("text", ["/work/main", "see /tmp/x", "'/home/me/runs'", "(/root/a)"])
def test_a_machine_path_is_seen(text: str) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize("text", ["framework/main", "https://a.org/home/x", "~/work/x", "a/tmp/b"])
def test_a_path_of_ours_is_no_machine_path(text: str) -> None:
    assert not MACHINE_PATH.search(text)
