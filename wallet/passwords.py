"""Passwords from a file or from the person; never from an argument, which every process list shows."""

import sys
from getpass import getpass
from pathlib import Path

from protocol.errors import BadInput
from wallet.keystore import EmptyPassword, WalletLocked

_MAX_BYTES = 4096


class NoPasswordFile(BadInput):
    """The password file named cannot be read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__("WALLET-010", "password file", str(path), f"{reason}; name a file that holds it")


class PasswordsDiffer(BadInput):
    """The two passwords typed are not the same."""

    def __init__(self, name: str) -> None:
        super().__init__("WALLET-011", "password", name, "the two differ; type the same one twice")


class NoPasswordGiven(BadInput):
    """A new key needs a password, and nobody can be asked for one."""

    def __init__(self, name: str) -> None:
        fix = "choose one: give --password-file, set QUERN_PASSWORD_FILE, or type it at a terminal"
        super().__init__("WALLET-012", "password of wallet", name, fix)


def password_for(name: str, file: Path | None, *, is_new: bool = False) -> str:
    """The password in `file`, else asked for at the terminal; a new one is asked for twice.

    Raises NoPasswordFile, EmptyPassword, PasswordsDiffer; where nobody can be asked NoPasswordGiven or WalletLocked.
    """
    if file is not None:
        return _read(file)
    if not sys.stdin.isatty():
        raise NoPasswordGiven(name) if is_new else WalletLocked(name)
    return ask(f"wallet {name}", is_new=is_new)


def ask(name: str, *, is_new: bool = False) -> str:
    """Typed at the terminal, a new one twice. Raises PasswordsDiffer."""
    password = getpass(f"{'New password' if is_new else 'Password'} for {name}: ")
    if is_new and getpass("The same once more: ") != password:
        raise PasswordsDiffer(name)
    return password


def _read(file: Path) -> str:
    try:
        with file.expanduser().open(encoding="utf-8") as opened:
            password = opened.read(_MAX_BYTES).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise NoPasswordFile(file, getattr(error, "strerror", None) or "it is no text") from error
    if not password:
        raise EmptyPassword(str(file))
    return password
