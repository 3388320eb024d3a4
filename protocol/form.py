"""Canonical JSON of objects that differ in a few values: shaped once, and then filled in.

To sort and check every member anew takes longer than all else that is done for a receipt.
"""

import re

from protocol.digest import JsonValue, NotCanonical, canonical_json

_BLANK = re.compile(r'"\\u0000(\w+)"')


def blank(name: str) -> str:
    """Stands in a shape where the value of that name will be."""
    return f"\0{name}"


class Form:
    """What `shape` is with its blanks filled in. Raises NotCanonical."""

    def __init__(self, shape: JsonValue) -> None:
        self._template = _BLANK.sub(r"%(\1)s", canonical_json(shape).decode().replace("%", "%%"))

    def filled(self, **values: str | int) -> bytes:
        """Each blank's value: text that is canonical JSON already, or a whole number.

        Raises KeyError where one is missing, NotCanonical where a text has no UTF-8 form.
        """
        try:
            return (self._template % values).encode()
        except UnicodeEncodeError as error:
            raise NotCanonical(str(error)) from error
