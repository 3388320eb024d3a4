"""Follows the market's events by polling ranges of blocks, and notices a reorganisation."""

from collections.abc import Sequence
from dataclasses import dataclass

from chain.deployment import Deployment
from chain.events import decode_logs
from chain.rpc import Block, NodeError, Rpc, RpcUnavailable
from protocol.digest import JsonValue
from protocol.lifecycle import Event

_MAX_RANGE = 2_000
_GROWTH = 1.25


@dataclass(frozen=True, slots=True)
class Cursor:
    """A block whose events, and all before, have been read."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class News:
    """What one poll found.

    `reorg_to` set: the chain left the followed one after that block; drop whatever was derived from later blocks,
    store `cursor`, poll again. Otherwise store `events` and `cursor` in one transaction. `head` is the newest block
    the node knows: its timestamp is the chain's clock. `complete`: nothing readable is left unread.
    """

    events: tuple[Event, ...]
    cursor: Cursor
    head: Block
    reorg_to: int | None = None
    complete: bool = True


class Follower:
    """Holds no position of its own: the caller's stored cursors are the truth."""

    def __init__(self, rpc: Rpc, deployment: Deployment, confirmations: int = 0) -> None:
        self._rpc = rpc
        self._addresses = [deployment.market, deployment.registry]
        self._first_block = deployment.block_number
        self._confirmations = confirmations
        self._range = _MAX_RANGE

    def poll(self, trail: Sequence[Cursor] = ()) -> News:
        """Events after `trail[0]`. `trail` holds the cursors stored so far, newest first (a few dozen suffice, for
        a reorg deeper than the trail means reading from the market's first block again); empty: from that block.

        Raises RpcUnavailable, NodeError.
        """
        cursors = list(trail) or [self._origin()]
        head, seen = self._look(cursors[0].number)
        if seen is None and head.number < cursors[0].number:
            # A node behind its own head, or behind another that answered before: not news.
            return News((), cursors[0], head)
        if seen is None or seen.hash != cursors[0].hash:
            ancestor = self._common_ancestor(cursors[1:])
            return News((), ancestor, head, reorg_to=ancestor.number, complete=False)
        last = head.number - self._confirmations
        first = cursors[0].number + 1
        if first > last:
            return News((), cursors[0], head)
        return self._read(first, last, head)

    def _read(self, first: int, last: int, head: Block) -> News:
        logs, upto = self._logs(first, last)
        block = head if upto == head.number else self._rpc.block(upto)
        if block is None:
            raise RpcUnavailable(self._rpc.masked_url, "the chain was reorganised while it was read")
        return News(decode_logs(self._rpc, logs), Cursor(upto, block.hash), head, complete=upto == last)

    def _logs(self, first: int, last: int) -> tuple[list[JsonValue], int]:
        """Logs from `first` on, and the last block they cover: fewer where the node finds the answer too large."""
        while True:
            upto = min(last, first + self._range - 1)
            try:
                logs = self._rpc.call(
                    "eth_getLogs",
                    {"fromBlock": hex(first), "toBlock": hex(upto), "address": self._addresses},
                )
            except NodeError:
                if upto == first:
                    raise
                self._range = max(1, (upto - first + 1) // 2)
                continue
            self._range = min(_MAX_RANGE, int(self._range * _GROWTH) + 1)
            if not isinstance(logs, list):
                raise RpcUnavailable(self._rpc.masked_url, "garbled logs")
            return logs, upto

    def _look(self, number: int) -> tuple[Block, Block | None]:
        """Head, and the block at `number`, in one round trip."""
        answers = self._rpc.batch(
            [("eth_getBlockByNumber", ["latest", False]), ("eth_getBlockByNumber", [hex(number), False])]
        )
        head, seen = (self._block(answer) for answer in answers)
        if head is None:
            raise RpcUnavailable(self._rpc.masked_url, "it has no latest block")
        return head, seen

    def _block(self, answer: JsonValue | NodeError) -> Block | None:
        if isinstance(answer, NodeError):
            raise answer
        return None if answer is None else self._rpc.parse_block(answer)

    def _common_ancestor(self, cursors: Sequence[Cursor]) -> Cursor:
        for cursor in cursors:
            block = self._rpc.block(cursor.number)
            if block is not None and block.hash == cursor.hash:
                return cursor
        return self._origin()

    def _origin(self) -> Cursor:
        """The block before the market's first."""
        block = self._rpc.block(self._first_block - 1)
        if block is None:
            raise RpcUnavailable(self._rpc.masked_url, f"it has no block {self._first_block - 1} yet")
        return Cursor(block.number, block.hash)
