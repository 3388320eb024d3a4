"""`quern wallet`: encrypted keys of requesters."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quern import options
from quern.console import note, say, say_json, say_table
from quern.context import home

if TYPE_CHECKING:
    from wallet.keystore import Wallet

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Make, import and list encrypted wallets.",
)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="A name for the wallet.")],
    password_file: options.PasswordFile = None,
    as_json: options.Json = False,
) -> None:
    """Make a new key and keep it encrypted."""
    from wallet.keystore import Keystore
    from wallet.passwords import password_for

    keystore = Keystore(home().wallets)
    _show(keystore.new(name, password_for(name, password_file, is_new=True)), as_json)


@app.command("import")
def import_(
    name: Annotated[str, typer.Argument(help="A name for the wallet.")],
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", help="File with the private key in hex; else it is asked for."),
    ] = None,
    password_file: options.PasswordFile = None,
    as_json: options.Json = False,
) -> None:
    """Take in a private key made elsewhere and keep it encrypted."""
    from wallet.keystore import Keystore
    from wallet.passwords import password_for

    try:
        key = key_file.read_text() if key_file else typer.prompt("Private key", hide_input=True, err=True)
    except typer.Abort:
        note("Nothing was written. Where nobody can be asked, give --key-file.")
        raise typer.Exit(2) from None
    keystore = Keystore(home().wallets)
    _show(keystore.import_key(name, key, password_for(name, password_file, is_new=True)), as_json)


@app.command("list")
def list_(as_json: options.Json = False) -> None:
    """List wallets by name; needs no password."""
    from wallet.keystore import Keystore

    wallets = Keystore(home().wallets).list()
    if as_json:
        say_json([_as_json(wallet) for wallet in wallets])
    elif wallets:
        say_table(("NAME", "ADDRESS"), [(wallet.name, wallet.address) for wallet in wallets])
    else:
        say("No wallet yet. Make one with: quern wallet new NAME")


def _show(wallet: "Wallet", as_json: bool) -> None:
    if as_json:
        say_json(_as_json(wallet))
    else:
        say(f"Wallet {wallet.name} has address {wallet.address}")
        say(f"Its encrypted key is {wallet.path}. Keep a copy; nobody can restore it.")


def _as_json(wallet: "Wallet") -> dict[str, str]:
    return {"name": wallet.name, "address": wallet.address, "path": str(wallet.path)}
