"""Where things are: the home folder and the names in it.

Home is $QUERN_HOME; without it `.quern` of the checkout one stands in, and `~/.quern` outside of a checkout.
"""

import os
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "QUERN_HOME"
_CHECKOUT_MARKS = ("pyproject.toml", "hardhat-local", "contracts")


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
