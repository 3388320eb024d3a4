"""The market as its events tell it: tasks, money, models, stores, and what each batch holds."""

from dataclasses import dataclass

from chain.deployment import Deployment
from chain.follower import Cursor, Follower
from chain.rpc import Block, Rpc
from protocol.errors import BadInput, Unavailable
from protocol.lifecycle import (
    Event,
    ModelAnnounced,
    ResultPosted,
    StoreAnnounced,
    TaskView,
    VoteCommitted,
)
from protocol.parameters import Parameters
from protocol.receipt import Receipt
from protocol.replay import MarketReplay, MarketView

_MAX_POLLS = 100_000


class UnknownTask(BadInput):
    """No task of that id was ever submitted to this market."""

    def __init__(self, task: bytes) -> None:
        super().__init__("VIEW-001", "task", task, "this market never saw it; check the id and --deployment")


class ChainUnsteady(Unavailable):
    """The node kept reorganising while its events were read."""

    def __init__(self, url: str) -> None:
        super().__init__("VIEW-002", "rpc", url, "its chain changed at every read; try again")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`models`: id to announced URI; `stores`: worker to its newest; `batches`: root to receipts in order;
    `votes`: (task, panel member) to commitment.
    """

    market: MarketView
    head: Block
    models: dict[bytes, str]
    stores: dict[str, str]
    batches: dict[bytes, tuple[Receipt, ...]]
    votes: dict[tuple[bytes, str], bytes]

    def task(self, task_id: bytes) -> TaskView:
        """Raises UnknownTask."""
        found = self.market.tasks.get(task_id)
        if found is None:
            raise UnknownTask(task_id)
        return found


class Gathering:
    """Takes in all events in order; `snapshot()` is what they say so far."""

    def __init__(self, market: str, parameters: Parameters) -> None:
        self._market = market
        self._replay = MarketReplay(parameters)
        self._models: dict[bytes, str] = {}
        self._stores: dict[str, str] = {}
        self._batches: dict[bytes, list[Receipt]] = {}
        self._votes: dict[tuple[bytes, str], bytes] = {}

    def take(self, event: Event) -> None:
        """Raises ImpossibleHistory."""
        self._replay.apply(event)
        match event:
            case ModelAnnounced(model_id=model_id, uri=uri):
                self._models.setdefault(model_id, uri)
            case StoreAnnounced(worker=worker, uri=uri):
                self._stores[worker] = uri
            case ResultPosted(task_id=task_id, root=root, body=body, output_tokens=tokens):
                self._batches.setdefault(root, []).append(Receipt(task_id, body, tokens))
            case VoteCommitted(market=market, task_id=task_id, member=member, commitment=commitment):
                if market == self._market:  # a panel may serve several
                    self._votes[task_id, member] = commitment
            case _:
                pass

    def snapshot(self, head: Block) -> Snapshot:
        batches = {root: tuple(receipts) for root, receipts in self._batches.items()}
        return Snapshot(
            self._replay.view(), head, dict(self._models), dict(self._stores), batches, dict(self._votes)
        )


class MarketReader:
    """Reads a market from its first block, and from then on only what is new."""

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        self._rpc = rpc
        self._deployment = deployment
        self._follower = Follower(rpc, deployment)
        self._trail: tuple[Cursor, ...] = ()
        self._gathering = self._anew()

    def read(self) -> Snapshot:
        """Up to the present head. Raises RpcUnavailable, ChainUnsteady, ImpossibleHistory."""
        for _ in range(_MAX_POLLS):
            news = self._follower.poll(self._trail)
            if news.reorg_to is not None:
                # Rare and small here: reading again from the start needs no second way of undoing events.
                self._trail = ()
                self._gathering = self._anew()
                continue
            for event in news.events:
                self._gathering.take(event)
            self._trail = (news.cursor,)
            if news.complete:
                return self._gathering.snapshot(news.head)
        raise ChainUnsteady(self._rpc.masked_url)

    def _anew(self) -> Gathering:
        return Gathering(self._deployment.market, self._deployment.parameters)
