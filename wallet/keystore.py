"""Wallets: the encrypted keys of one folder, by name."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chain import keyfile
from protocol.errors import BadInput

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KEY = re.compile(r"(0x)?[0-9a-fA-F]{64}")
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


class WalletLocked(BadInput):
    """A key is needed and no password was given."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "WALLET-005", "wallet", name, "it is locked; give --password-file or set QUERN_PASSWORD_FILE"
        )


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
    """The wallets of one folder. `scrypt_work` as in `chain.keyfile`."""

    folder: Path
    scrypt_work: int = keyfile.SCRYPT_WORK

    def new(self, name: str, password: str) -> Wallet:
        """Make a key from the system's randomness. Raises BadWalletName, WalletExists, EmptyPassword."""
        from eth_account import Account

        return self._write(name, bytes(Account.create().key), password)

    def import_key(self, name: str, private_key_hex: str, password: str) -> Wallet:
        """Take in a key made elsewhere. Raises BadPrivateKey and what `new` raises."""
        return self._write(name, private_key(private_key_hex), password)

    def list(self) -> tuple[Wallet, ...]:
        """Every wallet by name. Raises DamagedKeyFile."""
        if not self.folder.is_dir():
            return ()
        return tuple(_locked(path) for path in sorted(self.folder.glob(f"*{SUFFIX}")))

    def get(self, name: str) -> Wallet:
        """The wallet of that name, still locked. Raises NoSuchWallet, DamagedKeyFile."""
        path = self.folder / f"{name}{SUFFIX}"
        if not _NAME.fullmatch(name) or not path.is_file():
            raise NoSuchWallet(name, tuple(wallet.name for wallet in self.list()))
        return _locked(path)

    def choose(self, name: str | None) -> Wallet:
        """The wallet named, or the only one there is. Raises NoSuchWallet, WalletNotNamed, DamagedKeyFile."""
        if name is not None:
            return self.get(name)
        wallets = self.list()
        if len(wallets) != 1:
            raise WalletNotNamed(tuple(wallet.name for wallet in wallets))
        return wallets[0]

    def unlock(self, name: str, password: str) -> "LocalAccount":
        """The account that can sign. Raises NoSuchWallet, WrongPassword, DamagedKeyFile."""
        return keyfile.unlock(self.get(name).path, password)

    def _write(self, name: str, key: bytes, password: str) -> Wallet:
        if not _NAME.fullmatch(name):
            raise BadWalletName(name)
        if not password:
            raise EmptyPassword(name)
        path = self.folder / f"{name}{SUFFIX}"
        if path.exists():
            raise WalletExists(name)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            return Wallet(name, keyfile.create(path, key, password, self.scrypt_work), path)
        except FileExistsError as error:
            raise WalletExists(name) from error


def _locked(path: Path) -> Wallet:
    return Wallet(path.name.removesuffix(SUFFIX), keyfile.read_address(path), path)


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
