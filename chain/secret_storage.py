"""Web3 Secret Storage, version 3: a key under a password, as Ethereum's wallets exchange it.

The format: https://ethereum.org/developers/docs/data-structures-and-encoding/web3-secret-storage. eth-keyfile reads and
writes it, too, and takes half a second to load, for the curves of another kind of keystore, which nobody has here.
"""

import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from typing import Any, cast

from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt
from Crypto.Util import Counter

from chain.signer import Signer
from protocol.digest import JsonValue, keccak

_VERSION = 3
_CIPHER = "aes-128-ctr"
_CIPHER_KEY_BYTES = 16
_DERIVED_BYTES = 32
_SALT_BYTES = _IV_BYTES = 16
_SCRYPT_BLOCK, _SCRYPT_LANES = 8, 1
# Of memory for one guess: four times what the strongest common setting takes.
_MAX_SCRYPT_BYTES = 1 << 30


class PasswordRefused(Exception):
    """The checksum is another: the password is wrong."""


def encrypt(signer: Signer, password: str, scrypt_work: int) -> dict[str, JsonValue]:
    """The signer's key as a JSON document; `scrypt_work` is a power of two."""
    kdf: dict[str, Any] = {
        "n": scrypt_work,
        "r": _SCRYPT_BLOCK,
        "p": _SCRYPT_LANES,
        "dklen": _DERIVED_BYTES,
        "salt": secrets.token_hex(_SALT_BYTES),
    }
    iv = secrets.token_bytes(_IV_BYTES)
    derived = _derive("scrypt", kdf, password)
    ciphertext = _aes_ctr(derived, iv, signer.key)
    return {
        "version": _VERSION,
        "id": str(uuid.uuid4()),
        "address": signer.address[2:].lower(),
        "crypto": {
            "cipher": _CIPHER,
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": kdf,
            "mac": _mac(derived, ciphertext).hex(),
        },
    }


def decrypt(document: Mapping[str, JsonValue], password: str) -> bytes:
    """The key, of any length: whoever wrote it may have erred.

    Raises PasswordRefused; where the document is not of this kind ValueError or OverflowError for what is in a field,
    KeyError, TypeError or AttributeError for a field that is missing or of another type.
    """
    # Some wallets write "Crypto".
    fields = {name.lower(): value for name, value in document.items()}
    if fields["version"] != _VERSION:
        raise ValueError(f"version {fields['version']}")
    crypto = cast("Mapping[str, Any]", fields["crypto"])
    if crypto["cipher"] != _CIPHER:
        raise ValueError(f"cipher {crypto['cipher']}")
    ciphertext, iv = _unhex(crypto["ciphertext"]), _unhex(crypto["cipherparams"]["iv"])
    derived = _derive(crypto["kdf"], crypto["kdfparams"], password)
    if not hmac.compare_digest(_mac(derived, ciphertext), _unhex(crypto["mac"])):
        raise PasswordRefused
    return _aes_ctr(derived, iv, ciphertext)


def _derive(kind: str, parameters: Mapping[str, Any], password: str) -> bytes:
    salt, length = _unhex(parameters["salt"]), parameters["dklen"]
    if length < _DERIVED_BYTES:
        raise ValueError(f"a derived key of {length} bytes")
    if kind == "scrypt":
        work, block = parameters["n"], parameters["r"]
        if not 0 < 128 * work * block <= _MAX_SCRYPT_BYTES:
            raise ValueError(f"scrypt with n of {work} and r of {block}")
        # It takes text for bytes, one to a character.
        secret, salted = password.encode().decode("latin-1"), salt.decode("latin-1")
        return cast("bytes", scrypt(secret, salted, length, work, block, parameters["p"]))
    if kind == "pbkdf2" and parameters["prf"] == "hmac-sha256":
        return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, parameters["c"], length)
    raise ValueError(f"key derivation {kind}")


def _mac(derived: bytes, ciphertext: bytes) -> bytes:
    return keccak(derived[_CIPHER_KEY_BYTES:_DERIVED_BYTES] + ciphertext)


def _aes_ctr(derived: bytes, iv: bytes, data: bytes) -> bytes:
    """Encrypts and decrypts."""
    counter = Counter.new(128, initial_value=int.from_bytes(iv, "big"), allow_wraparound=True)
    return AES.new(derived[:_CIPHER_KEY_BYTES], AES.MODE_CTR, counter=counter).encrypt(data)


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
