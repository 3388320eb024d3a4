"""`quern version`."""

from importlib.metadata import version as installed

from quern import connect, options
from quern.console import say, say_json
from quern.context import home


def version(
    deployment: options.Deployment = None, rpc: options.Rpc = None, as_json: options.Json = False
) -> None:
    """Print the version, the chain and the deployed code.

    Without a market that can be reached it says why, and is no error.
    """
    from protocol.digest import to_hex
    from protocol.errors import QuernError

    told: dict[str, str | int | None] = {"quern": installed("quern"), "chain_id": None, "market": None}
    told |= {"market_code_hash": None, "block": None, "problem": None}
    if deployment is not None or home().deployment.exists():
        try:
            desk = connect.desk(deployment, rpc)
            told["chain_id"] = desk.deployment.chain_id
            told["market"] = desk.deployment.market
            told["market_code_hash"] = to_hex(desk.deployment.market_code_hash)
            told["block"] = desk.rpc.block_number()
        except QuernError as error:
            told["problem"] = str(error)
    if as_json:
        say_json(told)
        return
    say(f"quern {told['quern']}")
    if told["market"] is not None:
        say(f"chain {told['chain_id']}, block {told['block']}, market {told['market']}")
        say(f"deployed code {told['market_code_hash']}")
    else:
        say(f"no market: {told['problem'] or 'no deployment file; start one with: quern devnet up'}")
