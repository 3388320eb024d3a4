"""`quern cancel`, `quern revoke` and `quern tip`."""

from typing import Annotated

import typer

from quern import connect, options
from quern.console import note, require_yes, say, say_json
from quern.context import home
from quern.follow import TaskArgument


def cancel(
    task: TaskArgument,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    relayer: options.Relayer = None,
    relayer_password_file: options.RelayerPasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """Take back a task that nobody serves; its money returns to the free balance."""
    from protocol.digest import to_hex
    from wallet.change import require_cancellable, take_back_call
    from wallet.journal import parse_task_id
    from wallet.tasks import refund_units

    desk = connect.desk(deployment, rpc)
    owner, sender = connect.keystore().choose(wallet), connect.relayer(relayer)
    snapshot = desk.read()
    found = snapshot.task(parse_task_id(task, tuple(snapshot.market.tasks)))
    standing = require_cancellable(found, owner.address, snapshot.head)
    desk.require_gas((sender or owner).address)
    hand = connect.hand(owner, password_file, sender, relayer_password_file)
    refunded = refund_units(desk.send(take_back_call(desk, found, standing, hand), hand.sender))
    if as_json:
        say_json({"task": to_hex(found.task_id), "refunded_units": refunded})
    else:
        say(f"Taken back; {desk.currency.show(refunded)} are free again.")


def revoke(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Id of a request made here, or its beginning.")],
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Call off a request that was signed and not sent, for ever.

    Whoever holds the signed request could still send it; after this nobody can. Takes one transaction of the
    requester's own.
    """
    from protocol.digest import to_hex
    from wallet.change import revoke_call
    from wallet.journal import Journal, parse_task_id

    desk = connect.desk(deployment, rpc)
    journal = Journal(home().journal)
    known = tuple(entry.task_id for entry in journal.entries(desk.domain))
    entry = journal.get(parse_task_id(task, known))
    owner = connect.keystore().choose(wallet or entry.wallet)
    call = revoke_call(desk, entry, desk.read(), owner.address)
    note(f"Request  {to_hex(entry.task_id)} can never open a task after this")
    account = connect.unlocked(owner.name, password_file)
    require_yes("Revoke?", yes)
    desk.send(call, account)
    if as_json:
        say_json({"task": to_hex(entry.task_id), "revoked": True})
    else:
        say("Revoked.")


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
    from wallet.change import require_raisable, tip_calls
    from wallet.journal import parse_task_id

    desk = connect.desk(deployment, rpc)
    units = desk.currency.parse("tip", amount)
    owner = connect.keystore().choose(wallet)
    snapshot = desk.read()
    found = snapshot.task(parse_task_id(task, tuple(snapshot.market.tasks)))
    lacking_units = require_raisable(desk, found, units, owner.address, snapshot.head)
    account = connect.unlocked(owner.name, password_file)
    for call in tip_calls(desk, found, units, lacking_units, account):
        desk.send(call, account)
    note(f"Tip raised from {desk.currency.show(found.tip_units)}")
    if as_json:
        say_json({"task": to_hex(found.task_id), "tip_units": units})
    else:
        say(f"Tip is {desk.currency.show(units)} now.")
