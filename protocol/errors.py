"""Errors a person can cause or meet: a code to search for, and one line that names field, value and fix."""

_SHOWN_CHARS = 120


class QuernError(Exception):
    """Base of all. `str()` is one line, without a value where that is None; `exit_status` is the command line's."""

    exit_status: int = 2

    def __init__(self, code: str, field: str, value: object, fix: str) -> None:
        self.code = code
        self.field = field
        self.value = value
        self.fix = fix
        super().__init__(str(self))

    def __str__(self) -> str:
        # An OSError ancestor would print its own idea of the arguments.
        what = self.field if self.value is None else f"{self.field} {shown(self.value)}"
        return f"{self.code} {what}: {self.fix}"


class BadInput(QuernError, ValueError):
    """The caller must change something."""


class NotYet(QuernError):
    """What was asked for does not exist yet; the same call may succeed later."""

    exit_status = 3


class Unavailable(QuernError, ConnectionError):
    """A node, a store or another service does not answer; try again."""

    exit_status = 3


def shown(value: object) -> str:
    """A value as it may stand in a message: one line, hex for bytes, cut when long."""
    text = "0x" + value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
