"""Encrypted keys on disk: one Web3 Secret Storage file (version 3) each, readable by its owner only."""

import json
from pathlib import Path
from typing import Any

from chain.files import create_file
from chain.secret_storage import PasswordRefused, decrypt, encrypt
from chain.signer import Signer
from protocol.abi import parse_address
from protocol.errors import BadInput

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
    signer = Signer(key)
    create_file(path, json.dumps(encrypt(signer, password, scrypt_work)).encode())
    return signer.address


def read_address(path: Path) -> str:
    """The EIP-55 address a file names; needs no password. Raises DamagedKeyFile, OSError."""
    return _read(path)[0]


def unlock(path: Path, password: str) -> Signer:
    """What can sign with the key. Raises WrongPassword, DamagedKeyFile, OSError."""
    address, content = _read(path)
    try:
        signer = Signer(decrypt(content, password))
    except PasswordRefused as error:
        raise WrongPassword(path) from error
    except (ValueError, OverflowError) as error:
        raise DamagedKeyFile(path, "it cannot be decrypted") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedKeyFile(path, "fields are missing") from error
    if signer.address != address:
        raise DamagedKeyFile(path, "its key is not that of its address")
    return signer


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    with path.open("rb") as file:
        data = file.read(_MAX_FILE_BYTES)
    try:
        content = json.loads(data)
        address = parse_address("address", "0x" + str(content["address"]).removeprefix("0x").lower())
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedKeyFile(path, "it is no version-3 keystore") from error
    return address, content
