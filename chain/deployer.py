"""Puts the contracts on a chain."""

import time
from collections.abc import Sequence
from dataclasses import astuple

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount

from chain.compiler import Artifact, compile_contracts
from chain.deployment import Deployment, Parameters
from chain.rpc import Rpc
from protocol.abi import parse_address
from protocol.digest import keccak
from protocol.errors import QuernError

_PARAMETERS_TYPE = "(uint32,uint32,uint32,uint32,uint32,uint32,uint64,uint64,uint64,uint64,address)"
_GAS_MARGIN = 1.2
_POLL_SECS = 0.05


class DeploymentFailed(QuernError):
    """A creation that was not mined in time, or reverted."""

    exit_status = 3

    def __init__(self, contract: str, reason: str) -> None:
        super().__init__(
            "CHAIN-014", contract, reason, "check the node, the balance and the parameters, then deploy again"
        )


def deploy(
    rpc: Rpc, account: LocalAccount, parameters: Parameters, timeout_secs: float = 120.0
) -> Deployment:
    """Market, registry and lens.

    Raises DeploymentFailed, NodeError, RpcUnavailable, DoesNotCompile, MissingTool.
    """
    artifacts = compile_contracts()
    chain_id = rpc.chain_id()
    genesis = rpc.block(0)
    if genesis is None:
        raise DeploymentFailed("genesis", "the node has no block 0")
    first_block = rpc.block_number()
    creator = _Creator(rpc, account, chain_id, timeout_secs)
    market = creator.create(artifacts["InferenceMarket"], [_PARAMETERS_TYPE], [astuple(parameters)])
    registry = creator.create(artifacts["ModelRegistry"], [], [])
    lens = creator.create(artifacts["MarketLens"], ["address"], [market])
    return Deployment(
        chain_id=chain_id,
        genesis_hash=genesis.hash,
        rpc_url=rpc.url,
        market=market,
        registry=registry,
        lens=lens,
        market_code_hash=keccak(rpc.code(market)),
        block_number=first_block + 1,
        parameters=parameters,
    )


class _Creator:
    def __init__(self, rpc: Rpc, account: LocalAccount, chain_id: int, timeout_secs: float) -> None:
        self._rpc = rpc
        self._account = account
        self._chain_id = chain_id
        self._timeout_secs = timeout_secs

    def create(self, artifact: Artifact, kinds: Sequence[str], arguments: Sequence[object]) -> str:
        data = artifact.bytecode + encode(kinds, arguments)
        creation = {"from": self._account.address, "data": "0x" + data.hex()}
        gas = int(str(self._rpc.call("eth_estimateGas", creation)), 16)
        base_fee_wei = self._rpc.latest().base_fee_wei
        tip_wei = int(str(self._rpc.call("eth_maxPriorityFeePerGas")), 16)
        signed = self._account.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain_id,
                "nonce": self._rpc.nonce(self._account.address),
                "data": data,
                "value": 0,
                "gas": int(gas * _GAS_MARGIN),
                "maxFeePerGas": 2 * base_fee_wei + tip_wei,
                "maxPriorityFeePerGas": tip_wei,
            }
        )
        tx_hash = self._rpc.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
        return self._await(artifact.name, str(tx_hash))

    def _await(self, name: str, tx_hash: str) -> str:
        deadline = time.monotonic() + self._timeout_secs
        while time.monotonic() < deadline:
            receipt = self._rpc.call("eth_getTransactionReceipt", tx_hash)
            if isinstance(receipt, dict):
                if receipt.get("status") != "0x1":
                    raise DeploymentFailed(name, "its constructor reverted")
                return parse_address("contractAddress", receipt.get("contractAddress"))
            time.sleep(_POLL_SECS)
        raise DeploymentFailed(name, f"not mined within {self._timeout_secs:.0f} s")
