"""One reading of the chain, in one round trip: all that a step of the sender decides on."""

from collections.abc import Sequence
from dataclasses import dataclass

from chain.journal import Intent, TxReceipt
from chain.rpc import Block, GarbledAnswer, NodeError, Rpc
from protocol.digest import JsonValue
from protocol.domain import UNIT_WEI

_LEAST_PRIORITY_FEE_WEI = UNIT_WEI // 10


@dataclass(frozen=True, slots=True)
class Look:
    """`nonce` counts the key's mined transactions; `receipts` are by transaction hash."""

    head: Block
    nonce: int
    balance_wei: int
    priority_fee_wei: int
    receipts: dict[bytes, TxReceipt]


def read_chain(rpc: Rpc, address: str, intents: Sequence[Intent]) -> Look:
    """What has become of `intents`. Raises RpcUnavailable, NodeError."""
    hashes = [tx_hash for intent in intents for tx_hash in intent.hashes]
    # The count comes before the receipts: a transaction mined in between then has a receipt, never only a count.
    answers = rpc.batch(
        [
            ("eth_getTransactionCount", [address, "latest"]),
            ("eth_getBalance", [address, "latest"]),
            ("eth_maxPriorityFeePerGas", []),
            *(("eth_getTransactionReceipt", ["0x" + tx_hash.hex()]) for tx_hash in hashes),
            ("eth_getBlockByNumber", ["latest", False]),
        ]
    )
    # Chains without a fee market do not know the method.
    priority_fee = "0x0" if isinstance(answers[2], NodeError) else answers[2]
    nonce, balance, *receipts, head = [_sound(answer) for answer in answers[:2] + answers[3:]]
    counts = [_quantity(rpc, answer) for answer in (nonce, balance, priority_fee)]
    return Look(
        head=rpc.parse_block(head),
        nonce=counts[0],
        balance_wei=counts[1],
        priority_fee_wei=max(counts[2], _LEAST_PRIORITY_FEE_WEI),
        receipts={
            tx_hash: _receipt(rpc, tx_hash, receipt)
            for tx_hash, receipt in zip(hashes, receipts, strict=True)
            if isinstance(receipt, dict)
        },
    )


def _sound(answer: JsonValue | NodeError) -> JsonValue:
    if isinstance(answer, NodeError):
        raise answer
    return answer


def _quantity(rpc: Rpc, value: JsonValue) -> int:
    try:
        return int(str(value), 16)
    except ValueError as error:
        raise GarbledAnswer(rpc.masked_url, f"a garbled number: {error}") from error


def _receipt(rpc: Rpc, tx_hash: bytes, fields: dict[str, JsonValue]) -> TxReceipt:
    try:
        return TxReceipt(
            tx_hash=tx_hash,
            block_number=int(str(fields["blockNumber"]), 16),
            block_hash=bytes.fromhex(str(fields["blockHash"])[2:]),
            success=fields["status"] == "0x1",
            gas_used=int(str(fields["gasUsed"]), 16),
            gas_price_wei=int(str(fields["effectiveGasPrice"]), 16),
        )
    except (KeyError, ValueError) as error:
        raise GarbledAnswer(rpc.masked_url, f"a garbled receipt: {error}") from error
