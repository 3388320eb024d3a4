"""`quern model`: take models into use on this machine, announce them on chain, list both."""

from pathlib import Path
from typing import Annotated

import typer

from quern import connect, options
from quern.console import say, say_json, say_table
from quern.context import home

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Add models to this machine and announce them on chain.",
)


@app.command()
def add(
    model: Annotated[str, typer.Argument(help="Directory in Hugging Face's layout, or a name on its hub.")],
    name: Annotated[
        str | None, typer.Option(help="What to call it; the directory's name by default.")
    ] = None,
    announce: Annotated[
        bool, typer.Option("--announce", help="Announce it on chain, so that requests may name it.")
    ] = False,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Take a model into use. Hashes it, stores its manifest, registers its directory; announces it if asked."""
    from protocol.digest import to_hex
    from wallet.models import ModelList
    from wallet.models import add as take_in

    models = ModelList(home().models)
    if announce:
        # The node and the key are tried first: a wrong one leaves nothing behind.
        desk = connect.desk(deployment, rpc)
        account = connect.unlocked(wallet, password_file)
        added = take_in(model, name, models, connect.store(store))
        desk.announce(added, account)
    else:
        added = take_in(model, name, models, connect.store(store))
    announced = announce or _is_announced(added.model_id, deployment, rpc)
    if as_json:
        say_json(
            {
                "model": to_hex(added.model_id),
                "name": added.name,
                "path": str(added.path),
                "announced": announced,
            }
        )
    else:
        said = {
            True: "announced",
            False: "not announced; do so with --announce",
            None: "no node answers: not known whether it is announced",
        }[announced]
        say(f"Model {added.name} is {to_hex(added.model_id)} ({said})")


def _is_announced(model_id: bytes, deployment: Path | None, rpc: str | None) -> bool | None:
    """None where no node can be asked."""
    from protocol.errors import QuernError

    if deployment is None and rpc is None and not home().deployment.exists():
        return False
    try:
        return model_id in connect.desk(deployment, rpc).read().models
    except QuernError:
        return None


@app.command("list")
def list_(
    deployment: options.Deployment = None, rpc: options.Rpc = None, as_json: options.Json = False
) -> None:
    """List the models of this machine and of the market."""
    from wallet.models import ModelList, listing

    announced: dict[bytes, str] = {}
    if deployment is not None or rpc is not None or home().deployment.exists():
        announced = connect.desk(deployment, rpc).read().models
    rows = listing(ModelList(home().models).all(), announced)
    if as_json:
        say_json([row.to_json() for row in rows])
    elif rows:
        say_table(
            ("NAME", "MODEL", "ANNOUNCED", "DIRECTORY"),
            [
                (row.name, row.hex_id[:18], "yes" if row.is_announced else "no", str(row.path or "-"))
                for row in rows
            ],
        )
    else:
        say("No model yet. Add one with: quern model add DIR --announce")
