"""Encrypted keys on disk: one Web3 Secret Storage file (version 3) each, readable by its owner only.

The signing library takes most of a second to import, so only what signs imports it.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.files import create_file
from protocol.abi import parse_address
from protocol.errors import BadInput

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

# Cost of guessing a password once: a power of two.
SCRYPT_WORK = 1 << 17
_MAX_FILE_BYTES = 64 * 1024


class DamagedKeyFile(BadInput):
    """A file that is no version-3 keystore, or whose key is not that of its address."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__("KEY-001", "keystore", path.name, f"{reason}; restore the file from a copy")


class WrongPassword(BadInput):
    """The password does not open the file."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            "KEY-002", "keystore", path.name, "the password does not open it; give the right one"
        )


def create(path: Path, key: bytes, password: str, scrypt_work: int = SCRYPT_WORK) -> str:
    """Encrypt 32 bytes of key into a new file; its EIP-55 address. Raises FileExistsError."""
    from eth_account import Account

    account = Account.from_key(key)
    content = Account.encrypt(account.key, password, kdf="scrypt", iterations=scrypt_work)
    create_file(path, json.dumps(content).encode())
    return str(account.address)


def read_address(path: Path) -> str:
    """The EIP-55 address a file names; needs no password. Raises DamagedKeyFile, OSError."""
    return _read(path)[0]


def unlock(path: Path, password: str) -> "LocalAccount":
    """The account that can sign. Raises WrongPassword, DamagedKeyFile, OSError."""
    from eth_account import Account

    address, content = _read(path)
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(content, password))
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise WrongPassword(path) from error
        raise DamagedKeyFile(path, "it cannot be decrypted") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedKeyFile(path, "fields are missing") from error
    if account.address != address:
        raise DamagedKeyFile(path, "its key is not that of its address")
    return account


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    with path.open("rb") as file:
        data = file.read(_MAX_FILE_BYTES)
    try:
        content = json.loads(data)
        address = parse_address("address", "0x" + str(content["address"]).removeprefix("0x").lower())
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedKeyFile(path, "it is no version-3 keystore") from error
    return address, content
