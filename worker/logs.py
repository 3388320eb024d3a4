"""The worker's log: one line an event, times in UTC, to a file beside the database, and to a screen or stderr."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path

from protocol.printable import one_line, printable


class _OneLine(logging.Formatter):
    """An event is a line, whatever a stranger wrote into it; only a traceback takes more."""

    def format(self, record: logging.LogRecord) -> str:
        clean = copy(record)
        clean.msg, clean.args = one_line(record.getMessage()), None
        return printable(super().format(clean))


@contextmanager
def logging_to(path: Path, level: str, shown: logging.Handler | None = None) -> Iterator[None]:
    """Send what the worker logs there, and to `shown` or standard error, for as long as the context lasts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    formatter = _OneLine("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handlers = [logging.FileHandler(path, encoding="utf-8"), shown or logging.StreamHandler()]
    logger = logging.getLogger("quern")
    before = logger.level
    logger.setLevel(level)
    for handler in handlers:
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()
