"""The content store: bytes under keys, in a local folder or behind any fsspec address."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from chain.backends import Folder, Remote
from chain.faults import mask_url
from protocol.digest import sha256, to_hex
from protocol.errors import BadInput, NotYet, Unavailable

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_MAX_KEY_CHARS = 256
# What an announced address may name. Others run programs, unpack archives or log in somewhere.
SCHEMES = ("file", "memory", "http", "https", "s3", "gs", "az", "abfs")
_READ_ONLY_SCHEMES = ("http", "https")
# What an address that a stranger announced is followed to unasked: these only read, and with no credentials.
ANNOUNCED_SCHEMES = ("file", "https")


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
        self._backend: Folder | Remote
        if scheme == "file":
            folder = Path(unquote(parts.path) if parts.scheme else url).expanduser().absolute()
            self.url = folder.as_uri()
            self._backend = Folder(folder)
        else:
            self.url = url.rstrip("/")
            self._backend = Remote(self.url)
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
