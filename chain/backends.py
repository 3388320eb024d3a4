"""Where the content store keeps its bytes: a local folder, or what fsspec reaches. Every failure is an OSError."""

import errno
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from chain.files import replace_file, replace_files

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_HTTP_SECS, _HTTP_SILENT_SECS = 60.0, 10.0
# A shared flush takes in whatever else is being written on the same disk: worth it for many files only.
_SHARED_FLUSH_FILES = 8
_READ_BYTES = 1 << 20

# A stranger chose the key: where it leads to no plain file, the store is sound and does not have it. Were it away
# instead, a reader would ask again for ever.
_NO_SUCH_FILE = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})


class Folder:
    """A local folder. Keys are checked names; only plain files are read."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str, limit: int) -> bytes:
        """Up to `limit` bytes. Raises FileNotFoundError where the folder is there without the key, other OSError."""
        path = f"{self._root}/{key}"
        try:
            # A link could lead anywhere, a pipe could hold the reader for ever, and to open some devices is to act.
            found = os.lstat(path)
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(errno.ENOENT, "no plain file", key)
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            self._need_root()
            if error.errno in _NO_SUCH_FILE:
                raise FileNotFoundError(errno.ENOENT, "no plain file", key) from error
            raise
        try:
            return _read(descriptor, min(limit, found.st_size + 1), limit)
        finally:
            os.close(descriptor)

    def write(self, content: Mapping[str, bytes]) -> None:
        """All on stable storage when it returns. Raises OSError, and then some may be in place."""
        self._root.mkdir(parents=True, exist_ok=True)
        if len(content) >= _SHARED_FLUSH_FILES:
            replace_files(self._root, content)
            return
        for key, data in content.items():
            target = self._root / key
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, data)

    def exists(self, key: str) -> bool:
        """Raises OSError where the folder is away."""
        self._need_root()
        return (self._root / key).is_file()

    def _need_root(self) -> None:
        if not self._root.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "the folder is not there", str(self._root))


def _read(descriptor: int, expected: int, limit: int) -> bytes:
    """Up to `limit` bytes; in one go where `expected` is right."""
    parts, room, part = [], limit, os.read(descriptor, expected)
    while part:
        parts.append(part)
        room -= len(part)
        part = os.read(descriptor, min(room, _READ_BYTES))
    return b"".join(parts)


class Remote:
    """Any fsspec file system; object stores write whole objects or nothing by themselves."""

    def __init__(self, url: str) -> None:
        self._url = url

    def read(self, key: str, limit: int) -> bytes:
        """As of a `Folder`."""
        with _as_os_error(), self._fs().open(f"{self._url}/{key}", "rb") as file:
            data: bytes = file.read(limit)
            return data

    def write(self, content: Mapping[str, bytes]) -> None:
        """As of a `Folder`."""
        with _as_os_error():
            self._fs().pipe({f"{self._url}/{key}": data for key, data in content.items()})

    def exists(self, key: str) -> bool:
        """As of a `Folder`."""
        with _as_os_error():
            return bool(self._fs().exists(f"{self._url}/{key}"))

    def _fs(self) -> "AbstractFileSystem":
        from fsspec.core import url_to_fs

        fs: AbstractFileSystem = url_to_fs(self._url, **self._options())[0]
        return fs

    def _options(self) -> dict[str, object]:
        """A server anybody may have named must not hold its reader."""
        if not self._url.startswith(("http:", "https:")):
            return {}
        from aiohttp import ClientTimeout

        limits = ClientTimeout(total=_HTTP_SECS, sock_connect=_HTTP_SILENT_SECS, sock_read=_HTTP_SILENT_SECS)
        return {"client_kwargs": {"timeout": limits}}


_GONE = (HTTPStatus.NOT_FOUND, HTTPStatus.GONE)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Each back end of fsspec has its own family of exceptions; to a caller the store is away."""
    try:
        yield
    except FileNotFoundError as error:
        cause = error.__cause__
        # The one for http says so of everything that goes wrong, too: a server that is away has not lost the file.
        if isinstance(cause, Exception) and getattr(cause, "status", None) not in _GONE:
            raise OSError(f"{type(cause).__name__}: {cause}") from error
        raise
    except OSError:
        raise
    except ImportError as error:
        raise OSError(f"its driver is not installed: {error}") from error
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
