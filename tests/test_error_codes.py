"""Every error class has a code of its own, for an operator searches by it."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from tests.checkout import ROOMS, ROOT

CODE = re.compile(r"[A-Z]+-\d{3}")


def codes_of(error: ast.ClassDef) -> Iterator[str]:
    """As `code = "..."`, or as the first argument of a call of `super().__init__`."""
    for node in ast.walk(error):
        match node:
            case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                yield code
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr="__init__"),
                args=[ast.Constant(value=str(code)), *_],
            ):
                yield code
            case _:
                pass


def test_no_two_error_classes_share_a_code() -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef):
                    for code in codes_of(node):
                        if CODE.fullmatch(code):
                            owners[code].append(node.name)
    assert {"ENGINE-001", "WORKER-001", "METAINF-001"} <= owners.keys()
    assert {code: names for code, names in owners.items() if len(names) > 1} == {}
