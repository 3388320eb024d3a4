"""Encrypted wallets on disk: one Web3 Secret Storage file (version 3) each, readable by its owner only.

The signing library takes most of a second to import, so only what signs imports it.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chain.files import create_file
from protocol.abi import parse_address
from protocol.errors import BadInput

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")
_MAX_FILE_BYTES = 64 * 1024
SUFFIX = ".json"


class BadWalletName(BadInput):
    """A name that could not be a file name everywhere."""

    def __init__(self, name: str) -> None:
        super().__init__("WALLET-001", "wallet", name, "use 1 to 64 letters, digits, dots, dashes")


class NoSuchWallet(BadInput):
    """No wallet of that name in the folder."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        listed = f"known are {', '.join(known)}" if known else "there is none yet"
        super().__init__("WALLET-002", "wallet", name, f"{listed}; make one with 'quern wallet new {name}'")


class WalletExists(BadInput):
    """A wallet is never overwritten: its key might hold money."""

    def __init__(self, name: str) -> None:
        super().__init__("WALLET-003", "wallet", name, "a wallet of that name exists; choose another name")


class WrongPassword(BadInput):
    """The password does not open the wallet."""

    def __init__(self, name: str) -> None:
        super().__init__("WALLET-004", "wallet", name, "the password does not open it; give the right one")


class WalletLocked(BadInput):
    """A key is needed and no password was given."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "WALLET-005", "wallet", name, "it is locked; give --password-file or set QUERN_PASSWORD_FILE"
        )


class DamagedWallet(BadInput):
    """A file that is no version-3 keystore, or whose key is not that of its address."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__("WALLET-006", "keystore", path.name, f"{reason}; restore the file from a copy")


class BadPrivateKey(BadInput):
    """A private key that is not 32 bytes of hex; the value itself is never shown."""

    def __init__(self) -> None:
        super().__init__("WALLET-007", "private key", "(hidden)", "give 64 hex digits of a secp256k1 key")


class EmptyPassword(BadInput):
    """An empty password would leave the key as good as open."""

    def __init__(self, source: str) -> None:
        super().__init__("WALLET-008", "password", source, "it is empty; give at least one character")


class WalletNotNamed(BadInput):
    """Several wallets, or none, and none was chosen."""

    def __init__(self, known: tuple[str, ...]) -> None:
        fix = (
            f"give --wallet, one of {', '.join(known)}" if known else "make one with 'quern wallet new NAME'"
        )
        super().__init__("WALLET-009", "wallet", None, fix)


@dataclass(frozen=True, slots=True)
class Wallet:
    """A keystore file as it lies on disk, still locked; `address` in EIP-55 form."""

    name: str
    address: str
    path: Path


@dataclass(frozen=True, slots=True)
class Keystore:
    """The wallets of one folder. `scrypt_work` is the cost of guessing a password once (a power of two)."""

    folder: Path
    scrypt_work: int = 1 << 17

    def new(self, name: str, password: str) -> Wallet:
        """Make a key from the system's randomness. Raises BadWalletName, WalletExists, EmptyPassword."""
        from eth_account import Account

        return self._write(name, Account.create(), password)

    def import_key(self, name: str, private_key_hex: str, password: str) -> Wallet:
        """Take in a key made elsewhere. Raises BadPrivateKey and what `new` raises."""
        from eth_account import Account

        return self._write(name, Account.from_key(private_key(private_key_hex)), password)

    def list(self) -> tuple[Wallet, ...]:
        """Every wallet by name. Raises DamagedWallet."""
        if not self.folder.is_dir():
            return ()
        return tuple(self._read(path)[0] for path in sorted(self.folder.glob(f"*{SUFFIX}")))

    def get(self, name: str) -> Wallet:
        """The wallet of that name, still locked. Raises NoSuchWallet, DamagedWallet."""
        return self._find(name)[0]

    def choose(self, name: str | None) -> Wallet:
        """The wallet named, or the only one there is. Raises NoSuchWallet, WalletNotNamed, DamagedWallet."""
        if name is not None:
            return self.get(name)
        wallets = self.list()
        if len(wallets) != 1:
            raise WalletNotNamed(tuple(wallet.name for wallet in wallets))
        return wallets[0]

    def unlock(self, name: str, password: str) -> "LocalAccount":
        """The account that can sign. Raises NoSuchWallet, WrongPassword, DamagedWallet."""
        from eth_account import Account

        wallet, content = self._find(name)
        try:
            account: LocalAccount = Account.from_key(Account.decrypt(content, password))
        except ValueError as error:
            if "MAC mismatch" in str(error):
                raise WrongPassword(name) from error
            raise DamagedWallet(wallet.path, "it cannot be decrypted") from error
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedWallet(wallet.path, "fields are missing") from error
        if account.address != wallet.address:
            raise DamagedWallet(wallet.path, "its key is not that of its address")
        return account

    def _write(self, name: str, account: "LocalAccount", password: str) -> Wallet:
        if not _NAME.fullmatch(name):
            raise BadWalletName(name)
        if not password:
            raise EmptyPassword(name)
        path = self.folder / f"{name}{SUFFIX}"
        if path.exists():
            raise WalletExists(name)
        from eth_account import Account

        content = Account.encrypt(account.key, password, kdf="scrypt", iterations=self.scrypt_work)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            create_file(path, json.dumps(content).encode())
        except FileExistsError as error:
            raise WalletExists(name) from error
        return Wallet(name, account.address, path)

    def _find(self, name: str) -> tuple[Wallet, dict[str, Any]]:
        path = self.folder / f"{name}{SUFFIX}"
        if not _NAME.fullmatch(name) or not path.is_file():
            raise NoSuchWallet(name, tuple(wallet.name for wallet in self.list()))
        return self._read(path)

    def _read(self, path: Path) -> tuple[Wallet, dict[str, Any]]:
        try:
            with path.open("rb") as file:
                content = json.loads(file.read(_MAX_FILE_BYTES))
            address = parse_address("address", "0x" + str(content["address"]).removeprefix("0x").lower())
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DamagedWallet(path, "it is no version-3 keystore") from error
        return Wallet(path.name.removesuffix(SUFFIX), address, path), content


def private_key(text: str) -> bytes:
    """The 32 bytes of a key in hex. Raises BadPrivateKey."""
    from eth_account import Account

    key = text.strip()
    if not _KEY.fullmatch(key):
        raise BadPrivateKey
    try:
        return bytes(Account.from_key(key).key)
    except Exception as error:  # which one depends on the curve's implementation
        raise BadPrivateKey from error
