"""`quern cancel` and `quern tip`."""

from typing import Annotated

import typer

from quern import connect, options
from quern.console import note, say, say_json
from quern.follow import TaskArgument


def cancel(
    task: TaskArgument,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """Take back a task that nobody serves; its money returns to the free balance."""
    from protocol.digest import to_hex
    from wallet.amounts import show_units
    from wallet.journal import parse_task_id
    from wallet.passwords import password_for
    from wallet.tasks import refund_units

    desk = connect.desk(deployment, rpc)
    owner = connect.keystore().choose(wallet)
    snapshot = desk.read()
    found = snapshot.task(parse_task_id(task, tuple(snapshot.market.tasks)))
    call = desk.cancel_call(found, owner.address, snapshot.head)
    account = connect.keystore().unlock(owner.name, password_for(owner.name, password_file))
    refunded = refund_units(desk.send(call, account))
    if as_json:
        say_json({"task": to_hex(found.task_id), "refunded_units": refunded})
    else:
        say(f"Taken back; {show_units(refunded)} are free again.")


def tip(
    task: TaskArgument,
    amount: Annotated[str, typer.Argument(help="The new tip, all of it: 5000gwei or 0.001ether.")],
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """Raise the tip of an open task, so that it is served earlier."""
    from protocol.digest import to_hex
    from wallet.amounts import parse_units, show_units
    from wallet.journal import parse_task_id
    from wallet.passwords import password_for

    units = parse_units("tip", amount)
    desk = connect.desk(deployment, rpc)
    owner = connect.keystore().choose(wallet)
    snapshot = desk.read()
    found = snapshot.task(parse_task_id(task, tuple(snapshot.market.tasks)))
    calls = desk.tip_calls(found, units, owner.address, snapshot.head)
    account = connect.keystore().unlock(owner.name, password_for(owner.name, password_file))
    for call in calls:
        desk.send(call, account)
    note(f"Tip raised from {show_units(found.tip_units)}")
    if as_json:
        say_json({"task": to_hex(found.task_id), "tip_units": units})
    else:
        say(f"Tip is {show_units(units)} now.")
