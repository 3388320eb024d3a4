"""Reading every worker's receipts, for the meta-learner to learn from: only of tasks that settled unchallenged."""

from collections.abc import Iterator
from dataclasses import dataclass

from auditor.case import Case, History
from auditor.findings import Lacking, Refuted
from auditor.receipt_step import recompute_receipt
from chain.deployment import Deployment, check
from chain.market import Market
from chain.rpc import Rpc
from chain.store import ContentStore
from metainf.harvest import Served
from protocol.errors import QuernError
from protocol.lifecycle import TaskState, TaskView
from protocol.replay import replay


@dataclass(frozen=True, slots=True)
class Gathered:
    """What can be learned from, and how many settled tasks had no sound receipt at hand or were challenged."""

    served: tuple[Served, ...]
    unread: int
    challenged: int


def gather(rpc: Rpc, deployment: Deployment, store: ContentStore | None) -> Gathered:
    """The receipts of all settled tasks. Raises WrongChain, ChainReset, ImpossibleHistory, RpcUnavailable."""
    check(deployment, rpc)
    history, market = History.fetch(rpc, deployment), Market(rpc, deployment)
    tasks = replay(history.events, deployment.parameters).tasks
    settled = [task for task in tasks.values() if task.state is TaskState.SETTLED and task.posted_at]
    undisputed = [task for task in settled if not _was_challenged(task)]
    served = list(_served(undisputed, history, market, deployment, store))
    return Gathered(tuple(served), len(undisputed) - len(served), len(settled) - len(undisputed))


def _was_challenged(task: TaskView) -> bool:
    return bool(task.challenger) or task.faulty is not None or task.open_demands > 0


def _served(
    tasks: list[TaskView],
    history: History,
    market: Market,
    deployment: Deployment,
    store: ContentStore | None,
) -> Iterator[Served]:
    """Of tasks whose stored receipt is the one that was posted."""
    for task in tasks:
        case = Case(task.task_id, history, deployment, store, None)
        try:
            recompute_receipt(case, market)
            yield Served.of(case.document)
        except (Lacking, Refuted, QuernError):
            continue
