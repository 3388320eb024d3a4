"""The operator's key: encrypted at rest, unlocked once, its password never in configuration, logs or process lists."""

import json
import os
import secrets
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount

from protocol.abi import BadAddress, parse_address
from worker.errors import KeystoreMissing, KeystoreUnreadable, NoPassword, WontOverwrite, WrongPassword

PASSWORD_FILE_VARIABLE = "QUERN_KEYSTORE_PASSWORD_FILE"  # noqa: S105 the name of a variable
PASSWORD_VARIABLE = "QUERN_KEYSTORE_PASSWORD"  # noqa: S105 the name of a variable
_LIGHT_ITERATIONS = 2**10


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
    account = Account.from_key(key if key is not None else secrets.token_bytes(32))
    content = Account.encrypt(account.key, password, iterations=_LIGHT_ITERATIONS if light else None)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise WontOverwrite(str(path)) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
    return str(account.address)


def address_of(path: Path) -> str:
    """The EIP-55 address a keystore names; needs no password. Raises KeystoreMissing, KeystoreUnreadable."""
    content = _read(path)
    address = content.get("address")
    if not isinstance(address, str):
        raise KeystoreUnreadable(str(path), "it names no address")
    try:
        return parse_address("address", address if address.startswith("0x") else "0x" + address)
    except BadAddress as error:
        raise KeystoreUnreadable(str(path), f"address {address!r}") from error


def unlock(path: Path, password: str) -> LocalAccount:
    """The account. Raises KeystoreMissing, KeystoreUnreadable, WrongPassword."""
    content = _read(path)
    try:
        key = Account.decrypt(content, password)
    except ValueError as error:
        if "MAC" in str(error):
            raise WrongPassword(str(path)) from error
        raise KeystoreUnreadable(str(path), str(error)) from error
    except (KeyError, TypeError) as error:
        raise KeystoreUnreadable(str(path), f"not a version 3 keystore ({error})") from error
    account: LocalAccount = Account.from_key(key)
    return account


def _read(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise KeystoreMissing(str(path)) from error
    except OSError as error:
        raise KeystoreUnreadable(str(path), error.strerror or "cannot be read") from error
    except ValueError as error:
        raise KeystoreUnreadable(str(path), "not JSON") from error
    if not isinstance(content, dict):
        raise KeystoreUnreadable(str(path), "not a JSON object")
    return content
