"""Files that are there whole or not at all, whatever ends the process that writes them."""

import ctypes
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` in place of what is there, if anything; on stable storage when it returns. Raises OSError."""
    with _draft(path, data, mode) as draft:
        draft.replace(path)


def replace_files(root: Path, files: Mapping[str, bytes]) -> None:
    """Many at once, by their names under `root`: two flushes for all of them, where each alone takes two of its own.

    All are on stable storage when it returns; after a failure some may be in place. Raises OSError.
    """
    mark = f".partial-{uuid.uuid4().hex}-"
    drafts: list[tuple[str, str]] = []
    places = [(*f"{root}/{name}".rpartition("/")[::2], data) for name, data in files.items()]
    try:
        for folder in {folder for folder, _, _ in places}:
            _make_folder(folder)
        for folder, last, data in places:
            drafts.append((f"{folder}/{mark}{last}", f"{folder}/{last}"))
            _write_new(drafts[-1][0], data)
        _sync_file_system(root)
        while drafts:
            os.replace(*drafts[-1])  # noqa: PTH105
            drafts.pop()
        _sync_file_system(root)
    finally:
        for draft, _ in drafts:
            with suppress(FileNotFoundError):
                os.unlink(draft)  # noqa: PTH108


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


def _make_folder(folder: str) -> None:
    """Unless it is there."""
    # Here and below, pathlib would cost more than the work itself.
    with suppress(FileExistsError):
        try:
            os.mkdir(folder)  # noqa: PTH102
        except FileNotFoundError:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103


def _write_new(path: str, data: bytes) -> None:
    """A new file; not flushed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)


def _sync_file_system(folder: Path) -> None:
    """Everything written to the file system that holds `folder`, names and bytes: syncfs(2), which Python lacks."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
