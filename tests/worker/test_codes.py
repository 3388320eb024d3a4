"""Every reason the worker can give has a code, and every code a meaning."""

import re
from pathlib import Path

import worker
from worker.codes import CODES

SOURCES = sorted(Path(worker.__file__).parent.glob("*.py"))


def test_the_codes_in_the_source_are_the_codes_that_are_explained():
    used = {
        code
        for path in SOURCES
        if path.name not in {"codes.py", "errors.py"}
        for code in re.findall(r'"([A-Z]+-\d{3})"', path.read_text())
    }
    assert used == CODES.keys()
