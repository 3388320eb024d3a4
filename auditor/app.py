"""`quern audit`: all steps over one task, each with its own outcome."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from auditor.case import Case, History
from auditor.chain_steps import recompute_id, replay_and_compare
from auditor.content_steps import check_content, replay_choice
from auditor.findings import Finding, Lacking, Refuted
from auditor.priority_step import check_priority
from auditor.receipt_step import recompute_receipt
from auditor.report import AuditReport, Outcome, StepResult
from auditor.token_step import CheckerKind, check_tokens, checker
from chain.deployment import Deployment, check
from chain.market import Market
from chain.rpc import Rpc
from chain.store import ContentStore
from engine.base import Engine
from metainf import Selector

# Storage is read a moment after the events; a block in between is not a contradiction.
_QUIET_TRIES = 20


class Auditor:
    """Audits tasks of one market; reads only. `engine` is that of `token_step.checker`, or None to leave step 7 out."""

    def __init__(
        self,
        rpc: Rpc,
        deployment: Deployment,
        store: ContentStore | None = None,
        model_dir: Path | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._rpc = rpc
        self._deployment = deployment
        self._market = Market(rpc, deployment)
        self._store = store
        self._model_dir = model_dir
        self._engine = engine
        self._selector: Selector | None = None

    def audit(self, task_id: bytes) -> AuditReport:
        """Every step, whatever the others found. Raises NoSuchTask, RpcUnavailable."""
        case, first, second = self._on_chain(task_id)
        steps = [
            first,
            second,
            _run(3, "receipt", lambda: recompute_receipt(case, self._market)),
            _run(4, "content", lambda: check_content(case)),
            _run(5, "choice of strategy", lambda: replay_choice(case, self._loaded_selector())),
            _run(6, "priority", lambda: check_priority(case)),
        ]
        engine = self._engine
        if engine is not None:
            steps.append(_run(7, "tokens", lambda: check_tokens(case, engine)))
        return AuditReport(task_id, tuple(steps))

    def _on_chain(self, task_id: bytes) -> tuple[Case, StepResult, StepResult]:
        tries = _QUIET_TRIES
        while True:
            history = History.fetch(self._rpc, self._deployment)
            case = Case(task_id, history, self._deployment, self._store, self._model_dir)
            first = _run(1, "task id", partial(recompute_id, case))
            second = _run(2, "history", partial(replay_and_compare, case, self._market))
            tries -= 1
            if second.outcome is Outcome.PASSED or tries == 0 or not self._moved_since(history):
                return case, first, second

    def _moved_since(self, history: History) -> bool:
        return self._rpc.block_number() != history.head_block

    def _loaded_selector(self) -> Selector:
        if self._selector is None:
            self._selector = Selector.load()
        return self._selector


def audit(
    task_id: bytes,
    rpc: Rpc,
    deployment: Deployment,
    store: ContentStore | None,
    engine: CheckerKind | None,
    model_dir: Path | None,
) -> AuditReport:
    """One task, from start to end. `engine` None leaves step 7 out.

    Raises WrongChain, ChainReset, NoSuchTask, RpcUnavailable, CheckerUnavailable.
    """
    check(deployment, rpc)
    with ExitStack() as running:
        started = running.enter_context(checker(engine, model_dir)) if engine and model_dir else None
        report = Auditor(rpc, deployment, store, model_dir, started).audit(task_id)
    if engine and not model_dir:
        without_model = "no copy of the model here; name its directory with --model-dir"
        return AuditReport(task_id, (*report.steps, StepResult(7, "tokens", Outcome.LACKING, without_model)))
    return report


def _run(number: int, title: str, step: Callable[[], Finding]) -> StepResult:
    try:
        finding = step()
    except Refuted as refuted:
        return StepResult(number, title, Outcome.FAILED, refuted.sentence, refuted.figures)
    except Lacking as lacking:
        return StepResult(number, title, Outcome.LACKING, lacking.sentence)
    return StepResult(number, title, Outcome.PASSED, finding.sentence, finding.figures)
