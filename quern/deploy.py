"""`quern deploy`: the contracts on any Ethereum chain."""

from dataclasses import replace
from errno import EEXIST
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, options
from quern.console import note, require_yes, say, say_json
from quern.devnet import Preset

if TYPE_CHECKING:
    from chain.deployer import PanelTerms

_MOST_MEMBERS = 32


def deploy(
    rpc: Annotated[
        str, typer.Option("--rpc", envvar="QUERN_RPC", help="URL of a node of the chain; more by commas.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Deployment file to write; must be new.")],
    preset: Annotated[Preset, typer.Option(help="Parameters of the market.")] = Preset.PUBLIC,
    member: Annotated[
        list[str] | None,
        typer.Option("--member", help="Address on the panel that rules on disputes; once for each member."),
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(help="Equal votes that make a ruling; by default more than half.")
    ] = None,
    arbiter: Annotated[
        str | None, typer.Option(help="An arbiter that is on the chain already, instead of a new panel.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="ERC-20 that is the market's currency; ether by default.")
    ] = None,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Put the contracts on a chain of your own.

    Writes a deployment file for everybody who will use the market. There is no owner and no upgrade: the parameters
    are fixed for ever. The wallet pays the gas and keeps no power. Disputes are ruled by the members of a panel, or
    by an arbiter of your choice.
    """
    from chain.deployer import deploy as put_on_chain
    from chain.deployment import save
    from chain.presets import PRESETS
    from chain.rpc import Rpc
    from protocol.abi import ZERO_ADDRESS, parse_address

    if output.exists():
        raise FileExistsError(EEXIST, "it exists; name a new file", str(output))
    panel = _panel(member or [], threshold, preset.value, arbiter)
    node = Rpc(rpc)
    chain_id = node.chain_id()
    account = connect.unlocked(wallet, password_file)
    parameters = replace(
        PRESETS[preset.value],
        arbiter=ZERO_ADDRESS if arbiter is None else parse_address("arbiter", arbiter),
        token=ZERO_ADDRESS if token is None else parse_address("token", token),
    )
    note(f"Chain {chain_id}, payer {account.address}, challenge window {parameters.window_secs} s")
    note(f"Disputes: {_said(panel) if panel else f'arbiter {parameters.arbiter}'}")
    require_yes("Deploy?", yes)
    deployment = put_on_chain(node, account, parameters, panel)
    save(deployment, output)
    if as_json:
        say_json({"deployment_file": str(output), "market": deployment.market, "chain_id": chain_id})
    else:
        say(f"Market {deployment.market} on chain {chain_id}; wrote {output}")


def _panel(
    members: list[str], threshold: int | None, preset: str, arbiter: str | None
) -> "PanelTerms | None":
    """The panel that was asked for; none where an arbiter is named."""
    from chain.deployer import PanelTerms
    from chain.presets import PANEL_SECS
    from protocol.abi import parse_address
    from protocol.errors import BadInput

    if (arbiter is None) == (not members):
        fix = "name the panel's members with --member, or an arbiter with --arbiter, and not both"
        raise BadInput("DEPLOY-001", "arbiter", arbiter, fix)
    if arbiter is not None:
        return None
    addresses = tuple(parse_address("member", member) for member in members)
    least = len(addresses) // 2 + 1
    if len(set(addresses)) != len(addresses) or len(addresses) > _MOST_MEMBERS:
        raise BadInput(
            "DEPLOY-002", "member", len(addresses), f"name 1 to {_MOST_MEMBERS} different addresses"
        )
    votes = least if threshold is None else threshold
    if not least <= votes <= len(addresses):
        raise BadInput("DEPLOY-003", "threshold", votes, f"give {least} to {len(addresses)}")
    return PanelTerms(addresses, votes, *PANEL_SECS[preset])


def _said(panel: "PanelTerms") -> str:
    return f"a panel of {len(panel.members)}, {panel.threshold} equal votes make a ruling"
