"""`quern devnet`: the local Ethereum devnet."""

from enum import StrEnum
from typing import Annotated

import typer

from quern import connect, options
from quern.console import jsonable, note, say, say_json
from quern.context import home

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Start, stop and look at the local Ethereum devnet.",
)


class Preset(StrEnum):
    """Named market parameters of `chain.deployment`."""

    DEVNET = "devnet"
    BENCH = "bench"
    PUBLIC = "public"


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="Port on 127.0.0.1; a free one by default.")] = None,
    preset: Annotated[Preset, typer.Option(help="Parameters of the market.")] = Preset.DEVNET,
    automine: Annotated[
        bool, typer.Option("--automine", help="Mine each transaction at once; hides latency and ordering.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Start a Hardhat node and deploy the contracts on it."""
    from chain.devnet import DEFAULT_BLOCK_MILLIS, deployment_file
    from chain.devnet import up as start

    block_millis = None if automine else DEFAULT_BLOCK_MILLIS
    devnet = start(home().folder, port, preset.value, block_millis=block_millis)
    if as_json:
        file = str(deployment_file(home().folder))
        say_json({"pid": devnet.pid, "rpc_url": devnet.rpc_url, "deployment_file": file})
        return
    say(f"Devnet is up at {devnet.rpc_url} (process {devnet.pid}), market {devnet.deployment.market}")
    say("Fund a wallet with: quern devnet fund WALLET")


@app.command()
def down() -> None:
    """Stop the node; the chain and its money are gone."""
    from chain.devnet import down as stop

    say("Devnet stopped." if stop(home().folder) else "No devnet was running.")


@app.command()
def status(as_json: options.Json = False) -> None:
    """Say whether the node runs. The exit status is 3 if it does not, or if its chain is another one."""
    from chain.devnet import status as look

    found = look(home().folder)
    if as_json:
        say_json(
            {
                "running": found.running,
                "pid": found.pid,
                "rpc_url": found.rpc_url,
                "block": found.block_number,
                "market": found.deployment.market if found.deployment else None,
                "problem": found.problem or None,
            }
        )
    elif found.problem:
        say(f"Devnet is not usable: {found.problem}")
    else:
        say(f"Devnet is up at {found.rpc_url} (process {found.pid}), block {found.block_number}")
    if found.problem:
        raise typer.Exit(3)


@app.command()
def fund(
    wallet: Annotated[str, typer.Argument(help="Name of a wallet, or an address.")],
    amount: Annotated[str, typer.Option(help="How much to give.")] = "100ether",
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
) -> None:
    """Give a wallet or an address ether. Works on a devnet only."""
    from chain.call import Call
    from chain.devnet import dev_account
    from protocol.abi import parse_address
    from protocol.currency import ETHER

    units = ETHER.parse("amount", amount)
    is_address = wallet.startswith("0x")
    to = parse_address("address", wallet) if is_address else connect.keystore().get(wallet).address
    connect.desk(deployment, rpc).send(Call("fund", to, b"", units * ETHER.unit), dev_account(0))
    say(f"{to} got {ETHER.show(units)}")


@app.command()
def chaos(
    seed: Annotated[int, typer.Option(help="The same seed makes the same faults, request by request.")] = 0,
    rates: Annotated[
        str, typer.Option(help="How often each fault comes, as shares of all requests; '' for none.")
    ] = "busy=0.02,reset=0.02,truncate=0.02,lag=0.05,stale=0.02,drop-send=0.02,duplicate-send=0.02",
    reorg_secs: Annotated[float, typer.Option(help="Seconds between reorganisations; 0 for none.")] = 20.0,
    max_depth: Annotated[int, typer.Option(help="Most blocks that one may orphan.")] = 10,
    port: Annotated[int | None, typer.Option(help="Port on 127.0.0.1; a free one by default.")] = None,
    secs: Annotated[float, typer.Option(help="Stop after so many seconds; 0 to run until Ctrl-C.")] = 0.0,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """Serve the devnet's node badly, by a seed.

    To see what a wallet or a worker makes of it: requests are refused, reset, cut short, slow or answered by an old
    head; sends are lost or doubled; blocks are orphaned with some of their transactions.
    """
    import json
    from threading import Event

    from chain import deployment as deployments
    from chain.chaos import Chaos
    from chain.schedule import Schedule, parse_rates

    schedule = Schedule(seed, parse_rates(rates), reorg_secs, max_depth)
    nodes = rpc or deployments.load(deployment or home().deployment).rpc_url
    show = (lambda done: json.dumps(jsonable(done))) if as_json else str
    server = Chaos(nodes.split(",")[0], schedule, lambda done: say(show(done)), port or 0)
    with server:
        address = {"url": server.url, "seed": seed}
        say(json.dumps(address) if as_json else f"seed {seed} at {server.url}: use it by --rpc or QUERN_RPC")
        try:
            Event().wait(secs or None)
        except KeyboardInterrupt:
            note(f"{server.requests} requests came")
