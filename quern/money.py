"""`quern money`: what a wallet has in the market, and moving it in and out."""

from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, options
from quern.console import moment, say, say_json

if TYPE_CHECKING:
    from protocol.currency import Currency
    from wallet.money import Money

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
    """Say what is free and what waits in tasks: why, and until when; or move money."""
    from wallet.money import money as look

    if ctx.invoked_subcommand is not None:
        return
    owner = connect.keystore().choose(wallet)
    desk = connect.desk(deployment, rpc)
    money = look(desk, owner.address)
    if as_json:
        say_json(
            {
                "address": money.address,
                "currency": desk.currency.symbol,
                "free_units": money.free_units,
                "locked_units": money.locked_units,
                "escrow_units": money.escrow_units,
                "outside_units": money.outside_units,
                "wallet_wei": money.ether_wei,
                "waiting": [wait.to_json() for wait in money.waits],
            }
        )
        return
    _say_money(money, desk.currency)


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
    """Move ether, or the market's token, of the wallet into a free balance in the market."""
    from protocol.abi import parse_address
    from wallet.purse import deposit_calls, require_deposit

    owner = connect.keystore().choose(wallet)
    credited = owner.address if beneficiary is None else parse_address("for", beneficiary)
    desk = connect.desk(deployment, rpc)
    units = desk.currency.parse("amount", amount)
    require_deposit(desk, "deposit", units, owner.address)
    account = connect.unlocked(owner.name, password_file)
    for call in deposit_calls(desk, account, units, credited):
        desk.send(call, account)
    free_units = desk.market.account(credited).free_units
    say(f"Deposited {desk.currency.show(units)}; {credited} has {desk.currency.show(free_units)} free")


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
    from wallet.purse import withdraw_call

    owner = connect.keystore().choose(wallet)
    receiver = owner.address if to is None else parse_address("to", to)
    desk = connect.desk(deployment, rpc)
    units = None if amount is None else desk.currency.parse("amount", amount)
    call = withdraw_call(desk, units, owner.address, receiver)
    desk.send(call, connect.unlocked(owner.name, password_file))
    left = desk.currency.show(desk.market.account(owner.address).free_units)
    say(f"Withdrawn to {receiver}; free: {left}")


def _say_money(money: "Money", currency: "Currency") -> None:
    from protocol.currency import ETHER
    from protocol.digest import to_hex

    say(f"Address  {money.address}")
    say(f"Wallet   {currency.show(money.outside_units)} outside of the market")
    if not currency.is_ether:
        say(f"Gas      {ETHER.show(money.ether_wei // ETHER.unit)} to pay it with")
    say(f"Free     {currency.show(money.free_units)}")
    say(f"Locked   {currency.show(money.locked_units)} in bonds")
    say(f"Escrow   {currency.show(money.escrow_units)}")
    for wait in money.waits:
        until = f"; by {moment(wait.until)} at the latest" if wait.until else ""
        said = f"{wait.role} {currency.show(wait.units)}: {wait.why}, until {wait.ends_with}{until}"
        say(f"  {to_hex(wait.task_id)[:18]}  {said}")
