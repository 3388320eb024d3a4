"""`quern deploy`: the contracts on any Ethereum chain."""

from errno import EEXIST
from pathlib import Path
from typing import Annotated

import typer

from quern import connect, options
from quern.console import note, require_yes, say, say_json
from quern.devnet import Preset


def deploy(
    rpc: Annotated[str, typer.Option("--rpc", envvar="QUERN_RPC", help="URL of a node of the chain.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Deployment file to write; must be new.")],
    preset: Annotated[Preset, typer.Option(help="Parameters of the market.")] = Preset.PUBLIC,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Put the contracts on a chain of your own.

    Writes a deployment file for everybody who will use the market. There is no owner and no upgrade: the parameters
    are fixed for ever. The wallet pays the gas and keeps no power.
    """
    from chain.deployer import deploy as put_on_chain
    from chain.deployment import PRESETS, save
    from chain.rpc import Rpc

    if output.exists():
        raise FileExistsError(EEXIST, "it exists; name a new file", str(output))
    node = Rpc(rpc)
    chain_id = node.chain_id()
    account = connect.unlocked(wallet, password_file)
    parameters = PRESETS[preset.value]
    note(f"Chain {chain_id}, payer {account.address}, challenge window {parameters.window_secs} s")
    require_yes("Deploy?", yes)
    deployment = put_on_chain(node, account, parameters)
    save(deployment, output)
    if as_json:
        say_json({"deployment_file": str(output), "market": deployment.market, "chain_id": chain_id})
    else:
        say(f"Market {deployment.market} on chain {chain_id}; wrote {output}")
