"""The content store: bytes under keys, in a local folder or behind any fsspec address."""

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from chain.files import replace_file, replace_files
from chain.rpc import mask_url
from protocol.digest import sha256, to_hex
from protocol.errors import BadInput, NotYet, Unavailable

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_MAX_KEY_CHARS = 256
# What an announced address may name. Others run programs, unpack archives or log in somewhere.
SCHEMES = ("file", "memory", "http", "https", "s3", "gs", "az", "abfs")
_READ_ONLY_SCHEMES = ("http", "https")
# What an address that a stranger announced is followed to unasked: these only read, and with no credentials.
ANNOUNCED_SCHEMES = ("file", "https")
_HTTP_SECS, _HTTP_SILENT_SECS = 60.0, 10.0
# A shared flush takes in whatever else is being written on the same disk: worth it for many files only.
_SHARED_FLUSH_FILES = 8
_READ_BYTES = 1 << 20


class BadStoreUrl(BadInput):
    """An address that is none, or of a kind that could run or unpack something."""

    def __init__(self, url: str) -> None:
        super().__init__(
            "STORE-001", "store", url, f"give a folder, or an address with one of {', '.join(SCHEMES)}"
        )


class BadKey(BadInput):
    """A key that could lead out of the store."""

    def __init__(self, key: object) -> None:
        super().__init__(
            "STORE-002", "key", key, "use names of letters, digits, . _ - separated by single slashes"
        )


class StoreUnavailable(Unavailable):
    """The store does not answer, or does not let us in."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            "STORE-003", "store", url, f"not reachable ({reason}); check address, network and rights"
        )


class ContentMissing(NotYet):
    """The store answers and does not have the key; it may come."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__("STORE-004", key, "missing", f"it is not in {url} (yet)")


class ContentMismatch(BadInput):
    """The bytes in the store are not those that were promised."""

    def __init__(self, key: str, found: bytes, wanted: bytes) -> None:
        super().__init__(
            "STORE-005", key, found, f"its sha256 should be {to_hex(wanted)}; the store holds other bytes"
        )


class TooLarge(BadInput):
    """More bytes than the reader is ready to hold."""

    def __init__(self, key: str, max_bytes: int) -> None:
        super().__init__("STORE-006", key, f"more than {max_bytes} bytes", "it is refused unread")


class ReadOnlyStore(BadInput):
    """A write to a store that is only read here."""

    def __init__(self, url: str) -> None:
        super().__init__("STORE-007", "store", url, "it is read-only here; name a store that may be written")


def input_key(digest: bytes) -> str:
    return f"inputs/{digest.hex()}"


def params_key(digest: bytes) -> str:
    return f"params/{digest.hex()}"


def manifest_key(model_id: bytes) -> str:
    return f"models/{model_id.hex()}/manifest.json"


def meta_model_key(digest: bytes) -> str:
    return f"meta-models/{digest.hex()}"


def output_key(task_id: bytes) -> str:
    return f"{task_id.hex()}/output"


def receipt_key(task_id: bytes) -> str:
    return f"{task_id.hex()}/receipt"


def scheme_of(url: str) -> str:
    """The scheme of an address anybody may have written; "" where it has none, or is none."""
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""


class ContentStore:
    """`url` is a folder's path, or an fsspec address of one of SCHEMES. Raises BadStoreUrl.

    Every method may raise BadKey and StoreUnavailable.
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        try:
            parts = urlsplit(url)
            _ = parts.port  # raises only when it is looked at
        except ValueError as error:
            raise BadStoreUrl(mask_url(url)) from error
        scheme = parts.scheme or "file"
        if (
            not url
            or scheme not in SCHEMES
            or "::" in url
            or "\0" in url
            or (scheme == "file" and parts.netloc)
        ):
            raise BadStoreUrl(mask_url(url) if parts.scheme else url)
        self._read_only = read_only or scheme in _READ_ONLY_SCHEMES
        self._backend: _Folder | _Remote
        if scheme == "file":
            folder = Path(unquote(parts.path) if parts.scheme else url).expanduser().absolute()
            self.url = folder.as_uri()
            self._backend = _Folder(folder)
        else:
            self.url = url.rstrip("/")
            self._backend = _Remote(self.url)
        self.masked_url = self.url if scheme in ("file", "memory") else mask_url(self.url)

    def get(self, key: str, max_bytes: int) -> bytes:
        """Raises ContentMissing, TooLarge."""
        _check_key(key)
        try:
            data = self._backend.read(key, max_bytes + 1)
        except FileNotFoundError as error:
            raise ContentMissing(self.masked_url, key) from error
        except OSError as error:
            raise StoreUnavailable(self.masked_url, error.strerror or str(error)) from error
        if len(data) > max_bytes:
            raise TooLarge(key, max_bytes)
        return data

    def get_checked(self, key: str, digest: bytes, max_bytes: int) -> bytes:
        """`get`, and its sha256 is `digest`. Raises ContentMissing, TooLarge, ContentMismatch."""
        data = self.get(key, max_bytes)
        found = sha256(data)
        if found != digest:
            raise ContentMismatch(key, found, digest)
        return data

    def put(self, key: str, data: bytes) -> None:
        """On stable storage when it returns; a reader sees all of it or nothing. Raises ReadOnlyStore."""
        self.put_many({key: data})

    def put_many(self, content: Mapping[str, bytes]) -> None:
        """`put` for many, which share what flushing costs. After a failure any of them may be missing."""
        for key in content:
            _check_key(key)
        if self._read_only:
            raise ReadOnlyStore(self.masked_url)
        try:
            self._backend.write(content)
        except OSError as error:
            raise StoreUnavailable(self.masked_url, error.strerror or str(error)) from error

    def exists(self, key: str) -> bool:
        _check_key(key)
        try:
            return self._backend.exists(key)
        except OSError as error:
            raise StoreUnavailable(self.masked_url, error.strerror or str(error)) from error


def _check_key(key: str) -> None:
    if len(key) > _MAX_KEY_CHARS or not _KEY.fullmatch(key):
        raise BadKey(key)


# A stranger chose the key: where it leads to no plain file, the store is sound and does not have it. Were it away
# instead, a reader would ask again for ever.
_NO_SUCH_FILE = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO})


class _Folder:
    """Reads plain files only."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, key: str, limit: int) -> bytes:
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
        self._root.mkdir(parents=True, exist_ok=True)
        if len(content) >= _SHARED_FLUSH_FILES:
            replace_files(self._root, content)
            return
        for key, data in content.items():
            target = self._root / key
            target.parent.mkdir(parents=True, exist_ok=True)
            replace_file(target, data)

    def exists(self, key: str) -> bool:
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


class _Remote:
    """Any fsspec file system; object stores write whole objects or nothing by themselves."""

    def __init__(self, url: str) -> None:
        self._url = url

    def read(self, key: str, limit: int) -> bytes:
        with _as_os_error(), self._fs().open(f"{self._url}/{key}", "rb") as file:
            data: bytes = file.read(limit)
            return data

    def write(self, content: Mapping[str, bytes]) -> None:
        with _as_os_error():
            self._fs().pipe({f"{self._url}/{key}": data for key, data in content.items()})

    def exists(self, key: str) -> bool:
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
