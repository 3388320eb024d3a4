"""The import rules of the rooms: who may use whom, and what a wallet never needs to have installed."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.checkout import ROOMS, ROOT, declared_requirements

MAY_IMPORT = {
    "protocol": set(),
    "engine": set(),
    "chain": {"protocol"},
    "metainf": {"protocol"},
    "worker": {"protocol", "chain", "engine", "metainf"},
    "auditor": {"protocol", "chain", "engine", "metainf"},
    "wallet": {"protocol", "chain"},
    "quern": set(ROOMS),
}
# Beyond the rule of its room: one file may import one more room, inside a function.
LAZY_EXCEPTIONS = {("metainf/measure.py", "engine")}
# `quern --help` must be quick, so the command line imports rooms inside its commands.
LAZY_ROOMS = {"quern"}
# The error classes alone may come at once: the command line turns them into its one line and exit status.
EAGER_EXCEPTION = "protocol.errors"
# What these rooms import when they are loaded comes with the core install; no torch, no vLLM, no CatBoost.
LIGHT_ROOMS = ("protocol", "chain", "wallet", "auditor", "quern")


@dataclass(frozen=True)
class Import:
    file: str
    line: int
    target: str
    lazy: bool

    @property
    def room(self) -> str:
        return self.file.split("/")[0]

    @property
    def top(self) -> str:
        return self.target.split(".")[0]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def imports_of(source: str, file: str) -> Iterator[Import]:
    """Every import of a file; `lazy` when it runs only as part of a call or for type checkers only."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[Import]:
        match node:
            case ast.Import(names=names):
                yield from (Import(file, node.lineno, alias.name, lazy) for alias in names)
            case ast.ImportFrom(module=module, level=0):
                yield Import(file, node.lineno, module or "", lazy)
            case ast.ImportFrom(level=level, module=module):
                parents = file.split("/")[:-level]
                yield Import(file, node.lineno, ".".join([*parents, *filter(None, [module])]), lazy)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                lazy = True
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                lazy = True
            case _:
                pass
        for child in ast.iter_child_nodes(node):
            yield from walk(child, lazy)

    return walk(ast.parse(source, file), lazy=False)


@cache
def distributions_of_module() -> Mapping[str, list[str]]:
    return packages_distributions()


def imports_of_room(room: str) -> list[Import]:
    files = sorted((ROOT / room).rglob("*.py"))
    return [
        found
        for file in files
        for found in imports_of(file.read_text(), file.relative_to(ROOT).as_posix())
        if found.top != room
    ]


def breaks_the_rules(found: Import) -> bool:
    if found.top not in ROOMS or found.top == found.room:
        return False
    if found.lazy and (found.file, found.top) in LAZY_EXCEPTIONS:
        return False
    eager = not found.lazy and found.target != EAGER_EXCEPTION
    return found.top not in MAY_IMPORT[found.room] or (found.room in LAZY_ROOMS and eager)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_it_may(room: str) -> None:
    assert any((ROOT / room).rglob("*.py")), f"{room} holds no Python file"
    assert [str(found) for found in imports_of_room(room) if breaks_the_rules(found)] == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("protocol/a.py", "import chain"),
        ("wallet/a.py", "from worker.decide import decide"),
        ("wallet/deep/a.py", "def f():\n    import engine.vllm"),
        ("engine/a.py", "from protocol import errors"),
        ("metainf/measure.py", "import engine"),
        ("metainf/select.py", "def f():\n    import engine"),
        ("quern/a.py", "from wallet.quote import quote"),
        ("chain/a.py", "class C:\n    from auditor import steps"),
        ("chain/a.py", "try:\n    import worker\nexcept ImportError:\n    pass"),
    ],
)
def test_the_rules_refuse(file: str, source: str) -> None:
    assert [breaks_the_rules(found) for found in imports_of(source, file)] == [True]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("chain/a.py", "from protocol.digest import digest"),
        ("chain/a.py", "from .sender import Sender"),
        ("metainf/measure.py", "def f():\n    from engine import base"),
        ("quern/a.py", "def command():\n    from wallet.quote import quote"),
        ("quern/a.py", "if TYPE_CHECKING:\n    from wallet.quote import Quote"),
        ("quern/a.py", "from protocol.errors import QuernError"),
        ("worker/a.py", "import engine.base"),
        ("wallet/a.py", "import json"),
    ],
)
def test_the_rules_allow(file: str, source: str) -> None:
    assert [breaks_the_rules(found) for found in imports_of(source, file)] == [False]


@pytest.mark.parametrize("room", ROOMS)
def test_every_library_a_room_imports_is_declared(room: str) -> None:
    declared = {canonicalize_name(req.name) for group in declared_requirements().values() for req in group}
    owners = distributions_of_module()
    undeclared = [
        str(found)
        for found in imports_of_room(room)
        if found.top not in sys.stdlib_module_names
        and found.top not in ROOMS
        and declared.isdisjoint(canonicalize_name(owner) for owner in owners.get(found.top, ()))
    ]
    assert undeclared == []


def modules_of(room: str) -> list[str]:
    relative = [file.relative_to(ROOT).with_suffix("") for file in sorted((ROOT / room).rglob("*.py"))]
    return [".".join(path.parts).removesuffix(".__init__") for path in relative if path.name != "__main__"]


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_a_light_room_loads_without_the_heavy_extras(room: str, tmp_path: Path) -> None:
    requirements = declared_requirements()
    core = {canonicalize_name(req.name) for req in requirements[""]}
    heavy = {canonicalize_name(req.name) for extra in ("worker", "cpu") for req in requirements[extra]} - core
    owners = distributions_of_module()
    blocked = sorted(
        {"torch", "vllm"} | {m for m, names in owners.items() if heavy & {*map(canonicalize_name, names)}}
    )
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r})); import importlib; "
        f"[importlib.import_module(name) for name in {modules_of(room)!r}]"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert loaded.returncode == 0, loaded.stderr
