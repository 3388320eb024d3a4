"""Text of strangers on its way to a terminal or a log: nothing in it may drive the one or forge a line in the other."""

import re

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
# Reordering marks make a line read differently from what it says (Trojan Source, CVE-2021-42574).
_REORDERING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
# Some readers of a log take them for the end of a line.
_SEPARATORS = "\u2028\u2029"
_SURROGATES = "\ud800-\udfff"
_UNSAFE = re.compile(f"[{_CONTROLS}{_REORDERING}{_SEPARATORS}{_SURROGATES}]")


def printable(text: str) -> str:
    """`text` with every control character but newline and tab written as an escape such as `\\x1b`."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    """`printable`, and its newlines written as `\\x0a`."""
    return printable(text).replace("\n", "\\x0a")


def _escape(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
