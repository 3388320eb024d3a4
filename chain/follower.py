"""Follows the market's events by polling ranges of blocks, and finds its way back when the chain is reorganised."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chain.deployment import ArbiterKind, Deployment
from chain.events import decode_logs
from chain.rpc import Block, GarbledAnswer, NodeError, NodeSlow, Rpc, RpcUnavailable, StaleHead
from protocol.digest import JsonValue
from protocol.lifecycle import Event

_MAX_RANGE = 2_000
_GROWTH = 1.25
# Block by block, the newest are remembered: so a reorganisation of usual depth undoes no block too many.
_MARKED_BLOCKS = 16
_LOOKED_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Cursor:
    """A block whose events, and all before, have been read."""

    number: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class News:
    """What one poll found.

    `reorg_to` set: the chain left the followed one after that block; drop whatever was derived from later blocks,
    store `cursor`, poll again. Otherwise store `events`, `marks` and `cursor` in one transaction; the marks are the
    blocks right before `cursor`, oldest first. `head` is the newest block the node knows: its timestamp is the chain's
    clock. `complete`: nothing readable is left unread.
    """

    events: tuple[Event, ...]
    cursor: Cursor
    head: Block
    reorg_to: int | None = None
    complete: bool = True
    marks: tuple[Cursor, ...] = ()


class Follower:
    """Holds no position of its own: the caller's stored cursors are the truth.

    An event counts once `confirmations` blocks have followed its own.
    """

    def __init__(self, rpc: Rpc, deployment: Deployment, confirmations: int = 0) -> None:
        self._rpc = rpc
        self._addresses = [deployment.market, deployment.registry, deployment.lens]
        if deployment.arbiter_kind is ArbiterKind.PANEL:
            # Of an unknown arbiter no event can be believed: it might emit what only a market may.
            self._addresses.append(deployment.arbiter)
        self._first_block = deployment.block_number
        self._confirmations = confirmations
        self._range = self._longest = _MAX_RANGE

    def poll(self, trail: Sequence[Cursor] = ()) -> News:
        """Events after `trail[0]`. `trail` holds the cursors stored so far, newest first (a few hundred suffice, for
        a reorg deeper than the trail means reading from the market's first block again); empty: from that block.

        Raises RpcUnavailable, NodeError.
        """
        cursors = list(trail) or [self._origin()]
        cursor = cursors[0]
        head, seen = self._look(cursor.number)
        if head.number < cursor.number:
            return self._look_lower(cursors, head)
        if seen is None:
            raise self._stale(f"it has no block {cursor.number} below its head")
        if seen.hash != cursor.hash:
            return self._turn_back(cursors[1:], head)
        last = head.number - self._confirmations
        if cursor.number >= last:
            return News((), cursor, head)
        return self._read(cursor, last, head)

    def _look(self, number: int) -> tuple[Block, Block | None]:
        """Head, and the block at `number`, in one round trip."""
        answers = self._rpc.batch([("eth_getBlockByNumber", ["latest", False]), _block_call(number)])
        head, seen = (self._block(answer) for answer in answers)
        if head is None:
            raise self._stale("it has no latest block")
        return head, seen

    def _look_lower(self, cursors: Sequence[Cursor], head: Block) -> News:
        """The head is below what was followed. A node behind its own head, or behind another that answered before, is
        no news; a chain that is another one, though still shorter, is.
        """
        known = [cursor for cursor in cursors if cursor.number <= head.number]
        if known:
            block = head if known[0].number == head.number else self._rpc.block(known[0].number)
            if block is None or block.hash != known[0].hash:
                return self._turn_back(known, head)
        self._rpc.distrust(self._stale(f"block {head.number} after block {cursors[0].number}"))
        return News((), cursors[0], head)

    def _turn_back(self, cursors: Sequence[Cursor], head: Block) -> News:
        ancestor = self._common_ancestor(cursors)
        return News((), ancestor, head, reorg_to=ancestor.number, complete=False)

    def _common_ancestor(self, cursors: Sequence[Cursor]) -> Cursor:
        for start in range(0, len(cursors), _LOOKED_AT_ONCE):
            part = cursors[start : start + _LOOKED_AT_ONCE]
            for cursor, block in zip(part, self._blocks(cursor.number for cursor in part), strict=True):
                if block is not None and block.hash == cursor.hash:
                    return cursor
        return self._origin()

    def _origin(self) -> Cursor:
        """The block before the market's first."""
        block = self._rpc.block(self._first_block - 1)
        if block is None:
            raise self._stale(f"it has no block {self._first_block - 1} yet")
        return Cursor(block.number, block.hash)

    def _read(self, cursor: Cursor, last: int, head: Block) -> News:
        while True:
            upto = min(last, cursor.number + self._range)
            smaller = max(1, (upto - cursor.number) // 2)
            before = head if upto == head.number else self._rpc.block(upto)
            try:
                logs, blocks = self._ask(cursor.number, upto)
            except NodeSlow:
                # It may be the answer's length; the next poll will tell. A timeout costs too much to be tried again.
                self._range = self._longest = smaller
                raise
            if not isinstance(logs, NodeError):
                break
            # It finds the answer too large.
            if upto == cursor.number + 1:
                raise logs
            self._range = smaller
        self._range = min(self._longest, int(self._range * _GROWTH) + 1)
        if not isinstance(logs, list):
            raise GarbledAnswer(self._rpc.masked_url, "garbled logs")
        events = decode_logs(self._rpc, logs)
        chain = self._one_chain(cursor, blocks, events)
        if before is None or before.hash != chain[-1].hash:
            # The logs may be those of the chain before, or of one that was cut short, and then some are missing.
            raise self._moved()
        marks = tuple(Cursor(block.number, block.hash) for block in chain if block.number > cursor.number)
        return News(events, marks[-1], head, complete=upto == last, marks=marks[:-1])

    def _ask(self, after: int, upto: int) -> tuple[JsonValue | NodeError, list[Block | None]]:
        """Logs of the blocks after `after`, and the newest of these blocks, in one round trip. Where the blocks do not
        reach down to the first, the one before it comes along.
        """
        numbers = list(range(max(after + 1, upto - _MARKED_BLOCKS + 1), upto + 1))
        if numbers[0] > after + 1:
            numbers.insert(0, after)
        wanted: JsonValue = {
            "fromBlock": hex(after + 1),
            "toBlock": hex(upto),
            "address": list(self._addresses),
        }
        logs, *blocks = self._rpc.batch([("eth_getLogs", [wanted]), *map(_block_call, numbers)])
        return logs, [self._block(block) for block in blocks]

    def _one_chain(
        self, cursor: Cursor, found: Sequence[Block | None], events: Iterable[Event]
    ) -> list[Block]:
        """The blocks, if they continue the followed chain and hold the events: a node that was reorganised meanwhile,
        or has not got all of the range yet, gives logs that are wrong or too few, and says nothing.
        """
        blocks = [block for block in found if block is not None]
        if len(blocks) < len(found):
            raise self._stale("it has not got the blocks below its head")
        chain = [cursor, *(Cursor(block.number, block.hash) for block in blocks)]
        links = (_follows(before, block) for before, block in zip(chain, blocks, strict=False))
        hashes = {block.number: block.hash for block in blocks}
        sound = (
            event.at.block_hash == hashes.get(event.at.block_number, event.at.block_hash) for event in events
        )
        if not (all(links) and all(sound)):
            raise self._moved()
        return blocks

    def _blocks(self, numbers: Iterable[int]) -> list[Block | None]:
        answers = self._rpc.batch(list(map(_block_call, numbers)))
        return [self._block(answer) for answer in answers]

    def _block(self, answer: JsonValue | NodeError) -> Block | None:
        if isinstance(answer, NodeError):
            raise answer
        return None if answer is None else self._rpc.parse_block(answer)

    def _moved(self) -> RpcUnavailable:
        return self._stale("its chain was reorganised while it was read")

    def _stale(self, what: str) -> RpcUnavailable:
        return StaleHead(self._rpc.masked_url, what)


def _follows(before: Cursor, block: Block) -> bool:
    """Whether `block` is the one `before`, or may be its successor. Hardhat's `hardhat_mine` leaves parents out."""
    if block.number == before.number:
        return block.hash == before.hash
    return block.number > before.number + 1 or block.parent_hash in {before.hash, bytes(32)}


def _block_call(number: int) -> tuple[str, list[JsonValue]]:
    return "eth_getBlockByNumber", [hex(number), False]
