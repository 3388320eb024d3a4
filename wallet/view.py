"""The market as its events tell it, read once: tasks, money, models, stores, and what each batch holds."""

from dataclasses import dataclass

from chain.deployment import Deployment
from chain.follower import Cursor, Follower
from chain.rpc import Block, Rpc
from protocol.errors import BadInput, Unavailable
from protocol.lifecycle import Event, ModelAnnounced, ResultPosted, StoreAnnounced, TaskView
from protocol.receipt import Receipt
from protocol.replay import MarketReplay, MarketView

_MAX_POLLS = 10_000


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
    """`models`: id to announced URI; `stores`: worker to its newest; `batches`: root to receipts in order."""

    market: MarketView
    head: Block
    models: dict[bytes, str]
    stores: dict[str, str]
    batches: dict[bytes, tuple[Receipt, ...]]

    def task(self, task_id: bytes) -> TaskView:
        """Raises UnknownTask."""
        found = self.market.tasks.get(task_id)
        if found is None:
            raise UnknownTask(task_id)
        return found


def read_market(rpc: Rpc, deployment: Deployment) -> Snapshot:
    """Everything since the market's first block. Raises RpcUnavailable, ChainUnsteady, ImpossibleHistory."""
    follower = Follower(rpc, deployment)
    events: list[Event] = []
    trail: tuple[Cursor, ...] = ()
    for _ in range(_MAX_POLLS):
        batch = follower.poll(trail)
        if batch.reorg_to is not None:
            events, trail = [], ()
            continue
        events.extend(batch.events)
        trail = (batch.cursor,)
        if batch.cursor.number >= batch.head.number:
            return snapshot(events, batch.head, deployment)
    raise ChainUnsteady(rpc.masked_url)


def snapshot(events: list[Event], head: Block, deployment: Deployment) -> Snapshot:
    """Pure part of `read_market`: all events in order, as they stand at block `head`."""
    replay = MarketReplay(deployment.parameters.bond_unit_units)
    models: dict[bytes, str] = {}
    stores: dict[str, str] = {}
    batches: dict[bytes, list[Receipt]] = {}
    for event in events:
        replay.apply(event)
        match event:
            case ModelAnnounced(model_id=model_id, uri=uri):
                models.setdefault(model_id, uri)
            case StoreAnnounced(worker=worker, uri=uri):
                stores[worker] = uri
            case ResultPosted(task_id=task_id, root=root, body=body, output_tokens=tokens):
                batches.setdefault(root, []).append(Receipt(task_id, body, tokens))
            case _:
                pass
    return Snapshot(
        replay.view(), head, models, stores, {root: tuple(items) for root, items in batches.items()}
    )
