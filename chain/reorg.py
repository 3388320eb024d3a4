"""Reorganisations of a devnet: back by snapshot, and on another way with the transactions that are to come along."""

import random
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from eth_account.typed_transactions.typed_transaction import TypedTransaction

from chain.rpc import Block, NodeError, Rpc
from protocol.digest import JsonValue

_KEPT_MARKS = 256
_OWN_BLOCK_SECS = 5.0
_LOOK_SECS = 0.02
_SIGNED_FIELDS = (
    "chainId",
    "nonce",
    "to",
    "value",
    "gas",
    "maxFeePerGas",
    "maxPriorityFeePerGas",
    "accessList",
    "v",
    "r",
    "s",
)


@dataclass(frozen=True, slots=True)
class Reorganised:
    """The chain went another way after `fork_block`: `depth` blocks are orphaned, their transactions counted."""

    fork_block: int
    depth: int
    sent_again: int
    left_out: int


@dataclass(frozen=True, slots=True)
class _Mark:
    number: int
    hash: bytes
    snapshot: JsonValue


class Reorganiser:
    """For Hardhat's node or anvil: calls `evm_snapshot`, `evm_revert`, `evm_mine`, and two of `hardhat_*`.

    `mark` must be called often: only marked blocks can be forked at. Nobody else may revert the node meanwhile, and
    nobody should ask it during `reorganise`: half-way the chain is short.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc
        self._marks: deque[_Mark] = deque(maxlen=_KEPT_MARKS)

    def mark(self) -> None:
        """Make it possible to come back to the newest block. Raises RpcUnavailable, NodeError."""
        before = self._rpc.latest()
        if self._marks and self._marks[-1].hash == before.hash:
            return
        snapshot = self._rpc.call("evm_snapshot")
        if self._rpc.latest().hash == before.hash:
            self._marks.append(_Mark(before.number, before.hash, snapshot))

    def reorganise(self, depth: int, lost_share: float = 0.0, draw: int = 0) -> Reorganised | None:
        """Orphan the newest blocks, `depth` of them or, for want of a mark, a few more; the new branch is one longer.

        Transactions come along, but for about `lost_share` of them (all later ones of the same sender are left out,
        too), and not in the same blocks. None where no mark is old enough. Raises RpcUnavailable, NodeError.
        """
        head = self._rpc.latest()
        while self._marks and self._marks[-1].number > head.number - depth:
            self._marks.pop()
        if not self._marks:
            return None
        mark = self._marks.pop()
        choice = random.Random(draw)
        transactions = [*self._mined(mark.number + 1, head.number), *self._pending()]
        if self._rpc.call("evm_revert", mark.snapshot) is not True:
            return None
        self.mark()
        self._keep_time(head)
        # The same transactions in the same second would make the same blocks again, and no reorganisation.
        self._rpc.call("hardhat_setCoinbase", "0x" + head.hash[-20:].hex())
        if choice.random() < 0.5:
            self._grow_to(mark.number + 1)
        left_out = self._send_again(transactions, lost_share, choice)
        self._grow_to(head.number + 1)
        return Reorganised(mark.number, head.number - mark.number, len(transactions) - left_out, left_out)

    def _grow_to(self, number: int) -> None:
        """Where blocks come by themselves they are waited for: Hardhat 3.18 dies of a block asked for beside them."""
        asks = self._rpc.call("hardhat_getAutomine") is True
        height, since = self._rpc.block_number(), time.monotonic()
        while height < number:
            if asks or time.monotonic() - since > _OWN_BLOCK_SECS:
                self._rpc.call("evm_mine")
            else:
                time.sleep(_LOOK_SECS)
            self.mark()
            before, height = height, self._rpc.block_number()
            since = time.monotonic() if height > before else since

    def _mined(self, first: int, last: int) -> Iterator[dict[str, JsonValue]]:
        for number in range(first, last + 1):
            block = self._rpc.call("eth_getBlockByNumber", hex(number), True)
            yield from _transactions(block.get("transactions") if isinstance(block, dict) else None)

    def _pending(self) -> Iterator[dict[str, JsonValue]]:
        """A node keeps these through a reorganisation; a snapshot does not."""
        yield from _transactions(self._rpc.call("eth_pendingTransactions"))

    def _keep_time(self, head: Block) -> None:
        """Clocks do not go back with the chain."""
        pending = self._rpc.call("eth_getBlockByNumber", "pending", False)
        stamp = int(str(pending["timestamp"]), 16) if isinstance(pending, dict) else head.timestamp
        if stamp < head.timestamp:
            self._rpc.call("evm_increaseTime", head.timestamp - stamp)

    def _send_again(
        self, transactions: list[dict[str, JsonValue]], lost_share: float, choice: random.Random
    ) -> int:
        """Returns how many were left out."""
        left_behind: set[JsonValue] = set()
        left_out = 0
        for transaction in transactions:
            if transaction["from"] in left_behind or choice.random() < lost_share:
                left_behind.add(transaction["from"])
                left_out += 1
                # The snapshot may have held it as not yet mined.
                self._try("hardhat_dropTransaction", transaction["hash"])
            else:
                # Sent to an automining node, a revert is an error though it is mined.
                self._try("eth_sendRawTransaction", "0x" + encode_signed(transaction).hex())
        return left_out

    def _try(self, method: str, *params: JsonValue) -> None:
        with suppress(NodeError):
            self._rpc.call(method, *params)


def encode_signed(transaction: dict[str, JsonValue]) -> bytes:
    """The bytes that were sent, from what the node tells of a transaction of type 2 (EIP-1559)."""
    fields: dict[str, JsonValue | bytes] = {name: transaction[name] for name in _SIGNED_FIELDS}
    fields["to"] = bytes.fromhex(str(transaction["to"] or "")[2:])
    fields |= {"type": 2, "data": transaction["input"]}
    return bytes(TypedTransaction.from_dict(fields).encode())


def _transactions(value: JsonValue) -> Iterator[dict[str, JsonValue]]:
    """Those of type 2: nobody here sends others."""
    for transaction in value if isinstance(value, list) else ():
        if isinstance(transaction, dict) and transaction.get("type") == "0x2":
            yield transaction
