"""An honest ERC-20 to make a market of."""

import os
from functools import cache
from pathlib import Path

from chain.compiler import Artifact
from chain.node import HARDHAT_DIR, node_binary, solc_wrapper

SOURCE = Path(__file__).with_name("Coin.sol")
LIBRARY = "solady/src/tokens/ERC20.sol"


@cache
def coin() -> Artifact:
    """Its constructor gives all of it to one holder."""
    from solcx import compile_standard

    os.environ.setdefault("QUERN_NODE", str(node_binary()))
    library = (HARDHAT_DIR / "node_modules" / LIBRARY).read_text()
    settings = {"evmVersion": "cancun", "outputSelection": {"*": {"Coin": ["evm.bytecode.object"]}}}
    sources = {"Coin.sol": {"content": SOURCE.read_text()}, LIBRARY: {"content": library}}
    made = compile_standard(
        {"language": "Solidity", "sources": sources, "settings": settings}, solc_binary=solc_wrapper()
    )
    code: str = made["contracts"]["Coin.sol"]["Coin"]["evm"]["bytecode"]["object"]
    return Artifact("Coin", bytes.fromhex(code), b"")
