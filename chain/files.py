"""Files that are there whole or not at all, whatever ends the process that writes them."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` in place of what is there, if anything; on stable storage when it returns. Raises OSError."""
    with _draft(path, data, mode) as draft:
        draft.replace(path)


def create_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a new file; on stable storage when it returns. Raises FileExistsError, other OSError."""
    with _draft(path, data, mode) as draft:
        # A rename would take an existing file's place; a link never does.
        os.link(draft, path)


@contextmanager
def _draft(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    """A finished file beside `path`, gone afterwards."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
    draft = Path(name)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(data)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        yield draft
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A new name is durable once its directory is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
