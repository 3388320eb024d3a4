"""`quern money`: what a wallet has in the market, and moving it in and out."""

from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, options
from quern.console import say, say_json

if TYPE_CHECKING:
    from wallet.desk import Money

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    help="Show, deposit and withdraw a wallet's money.",
    invoke_without_command=True,
)


@app.callback()
def show(
    ctx: typer.Context,
    wallet: options.Wallet = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """Say what is free, what is locked, and in which tasks money waits; or move money."""
    if ctx.invoked_subcommand is not None:
        return
    owner = connect.keystore().choose(wallet)
    money = connect.desk(deployment, rpc).money(owner.address)
    if as_json:
        say_json(
            {
                "address": money.address,
                "free_units": money.free_units,
                "locked_units": money.locked_units,
                "escrow_units": money.escrow_units,
                "wallet_wei": money.wallet_wei,
                "tasks": [task.to_json() for task in money.tasks],
            }
        )
        return
    _say_money(money)


@app.command()
def deposit(
    amount: Annotated[str, typer.Argument(help="How much: 5000gwei or 0.5ether.")],
    beneficiary: Annotated[
        str | None,
        typer.Option("--for", help="Address to credit, such as a worker's; by default the wallet's."),
    ] = None,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
) -> None:
    """Move ether of the wallet into a free balance in the market."""
    from protocol.abi import parse_address
    from wallet.amounts import parse_units, show_units
    from wallet.passwords import password_for

    units = parse_units("amount", amount)
    owner = connect.keystore().choose(wallet)
    desk = connect.desk(deployment, rpc)
    credited = owner.address if beneficiary is None else parse_address("for", beneficiary)
    call = desk.deposit_call(units, owner.address, credited)
    account = connect.keystore().unlock(owner.name, password_for(owner.name, password_file))
    desk.send(call, account)
    free_units = desk.market.account(credited).free_units
    say(f"Deposited {show_units(units)}; {credited} has {show_units(free_units)} free")


@app.command()
def withdraw(
    amount: Annotated[str | None, typer.Argument(help="How much; all that is free by default.")] = None,
    to: Annotated[str | None, typer.Option(help="Receiving address; the wallet's own by default.")] = None,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
) -> None:
    """Move free balance out of the market."""
    from protocol.abi import parse_address
    from wallet.amounts import parse_units, show_units
    from wallet.passwords import password_for

    units = None if amount is None else parse_units("amount", amount)
    owner = connect.keystore().choose(wallet)
    receiver = owner.address if to is None else parse_address("to", to)
    desk = connect.desk(deployment, rpc)
    call = desk.withdraw_call(units, owner.address, receiver)
    account = connect.keystore().unlock(owner.name, password_for(owner.name, password_file))
    desk.send(call, account)
    say(f"Withdrawn to {receiver}; free: {show_units(desk.market.account(owner.address).free_units)}")


def _say_money(money: "Money") -> None:
    from protocol.digest import to_hex
    from protocol.domain import UNIT_WEI
    from wallet.amounts import show_units

    say(f"Address  {money.address}")
    say(f"Wallet   {show_units(money.wallet_wei // UNIT_WEI)} outside of the market")
    say(f"Free     {show_units(money.free_units)}")
    say(f"Locked   {show_units(money.locked_units)} in bonds")
    say(f"Escrow   {show_units(money.escrow_units)} in {len(money.tasks)} tasks")
    for task in money.tasks:
        said = f"{show_units(task.locked_units)}: {task.words()}, deadline {task.task.request.deadline}"
        say(f"  {to_hex(task.task.task_id)[:18]}  {said}")
