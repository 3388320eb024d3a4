"""The operator's key: encrypted at rest, unlocked once, its password never in configuration, logs or process lists."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eth_account.signers.local import LocalAccount

from chain import keyfile
from worker.errors import KeystoreMissing, KeystoreUnreadable, NoPassword, WontOverwrite

PASSWORD_FILE_VARIABLE = "QUERN_KEYSTORE_PASSWORD_FILE"  # noqa: S105 the name of a variable
PASSWORD_VARIABLE = "QUERN_KEYSTORE_PASSWORD"  # noqa: S105 the name of a variable
_LIGHT_WORK = 1 << 10


def password_from_environment() -> str:
    """From the file that QUERN_KEYSTORE_PASSWORD_FILE names, else from QUERN_KEYSTORE_PASSWORD. Raises NoPassword."""
    file = os.environ.get(PASSWORD_FILE_VARIABLE)
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise KeystoreUnreadable(file, f"password file: {error.strerror}") from error
    password = os.environ.get(PASSWORD_VARIABLE)
    if not password:
        raise NoPassword
    return password


def create(path: Path, password: str, key: bytes | None = None, *, light: bool = False) -> str:
    """Write a keystore readable by its owner only and return the address; a new key unless one is given.

    `light` makes the password cheap to try, for keys that guard nothing. Raises WontOverwrite.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    work = _LIGHT_WORK if light else keyfile.SCRYPT_WORK
    try:
        return keyfile.create(path, key or secrets.token_bytes(32), password, work)
    except FileExistsError as error:
        raise WontOverwrite(str(path)) from error


def address_of(path: Path) -> str:
    """The EIP-55 address a keystore names; needs no password.

    Raises KeystoreMissing, KeystoreUnreadable, DamagedKeyFile.
    """
    with _readable(path):
        return keyfile.read_address(path)


def unlock(path: Path, password: str) -> LocalAccount:
    """The account. Raises KeystoreMissing, KeystoreUnreadable, DamagedKeyFile, WrongPassword."""
    with _readable(path):
        return keyfile.unlock(path, password)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise KeystoreMissing(str(path)) from error
    except OSError as error:
        raise KeystoreUnreadable(str(path), error.strerror or "cannot be read") from error
