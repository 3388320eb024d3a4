"""Text of strangers on its way to a terminal or a log: nothing in it may drive the one or forge a line in the other."""

# Reordering marks make a line read differently from what it says (Trojan Source, CVE-2021-42574).
_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Some readers of a log take them for the end of a line.
_SEPARATORS = frozenset("\u2028\u2029")


def printable(text: str) -> str:
    """`text` with every control character but newline and tab written as an escape such as `\\x1b`."""
    return "".join(map(_escaped, text))


def one_line(text: str) -> str:
    """`printable`, and its newlines written as `\\x0a`."""
    return printable(text).replace("\n", "\\x0a")


def _escaped(character: str) -> str:
    code = ord(character)
    is_control = code < 0x20 or 0x7F <= code <= 0x9F
    moves = character in _REORDERING or character in _SEPARATORS
    if (is_control and character not in "\n\t") or moves or 0xD800 <= code <= 0xDFFF:
        return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
    return character
