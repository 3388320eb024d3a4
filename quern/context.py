"""Where things are: the home folder, the deployment, the node, the store, the wallet and its password.

Home is $QUERN_HOME; without it `.quern` of the checkout one stands in, and `~/.quern` outside of a checkout.
"""

import os
import sys
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path

from protocol.errors import BadInput
from wallet.keystore import EmptyPassword, Keystore, Wallet, WalletLocked

HOME_VARIABLE = "QUERN_HOME"
_CHECKOUT_MARKS = ("pyproject.toml", "hardhat-local", "contracts")
_MAX_PASSWORD_BYTES = 4096


class NoPasswordFile(BadInput):
    """The password file named cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__("CLI-001", "password file", str(path), f"{reason}; name a file that holds it")


class WalletNotNamed(BadInput):
    """Several wallets, or none, and none was chosen."""

    def __init__(self, known: tuple[str, ...]) -> None:
        fix = (
            f"give --wallet, one of {', '.join(known)}" if known else "make one with 'quern wallet new NAME'"
        )
        super().__init__("CLI-002", "wallet", None, fix)


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of everything Quern keeps on this machine, and the names inside it."""

    folder: Path

    @property
    def devnet(self) -> Path:
        return self.folder / "devnet"

    @property
    def deployment(self) -> Path:
        return self.devnet / "deployment.json"

    @property
    def wallets(self) -> Path:
        return self.folder / "wallets"

    @property
    def journal(self) -> Path:
        return self.folder / "tasks"

    @property
    def models(self) -> Path:
        return self.folder / "models.json"

    @property
    def worker(self) -> Path:
        return self.folder / "worker"

    @property
    def store(self) -> Path:
        return self.folder / "store"


def home() -> Home:
    """The home folder in force; it need not exist yet."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Home(Path(named).expanduser().absolute())
    checkout = checkout_above(Path.cwd())
    return Home(checkout / ".quern" if checkout else Path.home() / ".quern")


def checkout_above(folder: Path) -> Path | None:
    """The checkout of Quern that `folder` lies in, if it does."""
    for candidate in (folder, *folder.parents):
        if all((candidate / mark).exists() for mark in _CHECKOUT_MARKS):
            return candidate
    return None


def chosen_wallet(keystore: Keystore, name: str | None) -> Wallet:
    """The wallet named, or the only one there is. Raises NoSuchWallet, WalletNotNamed."""
    if name is not None:
        return keystore.get(name)
    wallets = keystore.list()
    if len(wallets) != 1:
        raise WalletNotNamed(tuple(wallet.name for wallet in wallets))
    return wallets[0]


def password_for(name: str, file: Path | None, *, is_new: bool = False) -> str:
    """The password from a file, else asked for at the terminal.

    Raises NoPasswordFile, EmptyPassword, PasswordsDiffer, and WalletLocked where nobody can be asked.
    """
    if file is not None:
        return _password_in(file)
    if not sys.stdin.isatty():
        raise WalletLocked(name)
    password = getpass(f"Password for wallet {name}: ")
    if is_new and getpass("The same once more: ") != password:
        raise PasswordsDiffer(name)
    return password


class PasswordsDiffer(BadInput):
    """The two passwords typed are not the same."""

    def __init__(self, name: str) -> None:
        super().__init__("CLI-003", "password", name, "the two differ; type the same one twice")


def _password_in(file: Path) -> str:
    try:
        with file.expanduser().open(encoding="utf-8") as opened:
            password = opened.read(_MAX_PASSWORD_BYTES).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NoPasswordFile(file, getattr(error, "strerror", None) or "it is no text") from error
    if not password:
        raise EmptyPassword(str(file))
    return password
