"""`quern relay`: sends what others have signed, and pays the gas."""

from pathlib import Path
from typing import Annotated

import typer

from quern import connect, options
from quern.console import note, require_yes, say, say_json


def relay(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Signed requests, as 'quern submit --sign-to' writes them."),
    ],
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Send requests that others have signed, all in one transaction.

    The wallet pays the gas; the price of each is taken from its signer's free balance.
    """
    from protocol.digest import to_hex
    from protocol.lifecycle import TaskSubmitted
    from wallet.purse import ASK_GAS
    from wallet.relay import Signed, relay_call, require_opening

    desk = connect.desk(deployment, rpc)
    sender = connect.keystore().choose(wallet)
    many = [Signed.read(file, desk.domain) for file in files]
    desk.require_gas(sender.address, ASK_GAS * len(many))
    require_opening(desk, many, sender.address)
    note(f"Sends    {len(many)} signed by others; {sender.address} pays the gas")
    require_yes("Send?", yes)
    account = connect.unlocked(sender.name, password_file)
    receipt = desk.send(relay_call(desk, many), account)
    opened = [event.task_id for event in receipt.events if isinstance(event, TaskSubmitted)]
    if as_json:
        say_json({"tasks": [to_hex(task) for task in opened], "gas_used": receipt.gas_used})
    else:
        for task in opened:
            say(f"Task {to_hex(task)}")
    missing = len(many) - len(opened)
    if missing:
        note(f"{missing} were not opened: something changed meanwhile; see 'quern tasks --all'")
        raise typer.Exit(3)
