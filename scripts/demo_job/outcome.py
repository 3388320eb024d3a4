"""What became of each task: money, strategy, speed, gas, answers, and whether the order was kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from auditor.report import AuditReport
from chain.rpc import Rpc
from chain.store import ContentStore
from protocol.batchfile import OutputFile
from protocol.digest import JsonValue, to_hex
from protocol.lifecycle import Event, ResultPosted, TaskClaimed, TaskSettled, TaskSubmitted
from protocol.replay import MarketView
from scripts.demo_job.asking import Sent
from scripts.demo_job.books import gas_of
from scripts.demo_job.stage import Stage
from wallet.desk import clock
from wallet.fetch import fetch_answer
from worker import report

_SHOWN_ANSWERS = 3
_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class Gas:
    """Of the submission, and this task's share of the transactions that claimed, posted and settled it."""

    submit: int
    claim: int
    post: int
    settle: int

    @property
    def total(self) -> int:
        return self.submit + self.claim + self.post + self.settle


@dataclass(frozen=True, slots=True)
class Outcome:
    """One task from end to end. Money in UNITs (gwei), times in seconds."""

    sent: Sent
    state: str
    submitted_block: int
    claimed_block: int
    paid_units: int
    refunded_units: int
    strategy: str
    why: str
    prompt_tokens: int
    output_tokens: int
    tokens_per_s: float
    submit_to_posted_secs: int
    gas: Gas
    output: OutputFile
    right: int
    audit: AuditReport

    @property
    def texts(self) -> list[str]:
        return [entry.text for entry in self.output.entries]

    def to_json(self) -> dict[str, JsonValue]:
        request = self.sent.draft.request
        return {
            "task": to_hex(self.sent.task_id),
            "title": self.sent.ask.title,
            "requester": request.requester,
            "state": self.state,
            "prompts": len(self.output.entries),
            "max_fee_units": request.max_fee_units,
            "tip_units": request.tip_units,
            "paid_units": self.paid_units,
            "refunded_units": self.refunded_units,
            "strategy": self.strategy,
            "why": self.why,
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "tokens_per_s": round(self.tokens_per_s, 1),
            "submitted_block": self.submitted_block,
            "claimed_block": self.claimed_block,
            "submit_to_posted_secs": self.submit_to_posted_secs,
            "gas": {
                "submit": self.gas.submit,
                "claim": self.gas.claim,
                "post": self.gas.post,
                "settle": self.gas.settle,
                "total": self.gas.total,
            },
            "right_answers": self.right,
            "answers": list(self.texts),
            "audit": self.audit.to_json(),
        }

    def lines(self) -> list[str]:
        """For people."""
        return [
            (
                f"price     {self.paid_units:,} gwei paid, {self.refunded_units:,} refunded of "
                f"{self.paid_units + self.refunded_units:,} put up"
            ),
            f"strategy  {self.strategy}: {self.why}",
            f"tokens    {self.prompt_tokens:,} in, {self.output_tokens:,} out, {self.tokens_per_s:,.0f} tokens/s out",
            f"time      {self.submit_to_posted_secs} s from submit to posted; claimed in block {self.claimed_block}",
            (
                f"gas       {self.gas.total:,} (submit {self.gas.submit:,}, claim {self.gas.claim:,}, "
                f"post {self.gas.post:,}, settle {self.gas.settle:,})"
            ),
            *self._answer_lines(),
        ]

    def _answer_lines(self) -> list[str]:
        cases = self.sent.ask.cases
        shown = [
            f"{case.user} {text}" for case, text in zip(cases, self.texts[:_SHOWN_ANSWERS], strict=False)
        ]
        more = f", and {len(cases) - _SHOWN_ANSWERS} more" if len(cases) > _SHOWN_ANSWERS else ""
        told = f"{'; '.join(' '.join(answer.split()) for answer in shown)}{more}"
        return [
            f"answers   {self.right} of {len(cases)} right",
            *(f"          {line}" for line in wrap(told, _COLUMNS)),
        ]


def outcome_of(
    stage: Stage, sent: Sent, view: MarketView, events: Sequence[Event], audit: AuditReport
) -> Outcome:
    """Put together from chain, store and the worker's own records."""
    task = view.tasks[sent.task_id]
    submitted = next(
        event for event in events if isinstance(event, TaskSubmitted) and event.task_id == sent.task_id
    )
    claim = [event for event in events if isinstance(event, TaskClaimed) and event.task_id == sent.task_id][
        -1
    ]
    record = next(record for record in report.tasks(stage.worker) if record.task_id == sent.task_id)
    snapshot = stage.desk.read()
    answer = fetch_answer(
        stage.desk.domain,
        task,
        snapshot,
        clock(snapshot.head),
        ContentStore(stage.store.url, read_only=True),
    )
    texts = [entry.text for entry in answer.output.entries]
    return Outcome(
        sent=sent,
        state=task.state.name.lower(),
        submitted_block=submitted.at.block_number,
        claimed_block=claim.at.block_number,
        paid_units=task.paid_units,
        refunded_units=task.refunded_units,
        strategy=record.strategy,
        why=record.why,
        prompt_tokens=record.prompt_tokens,
        output_tokens=record.output_tokens,
        tokens_per_s=record.tokens_per_s,
        submit_to_posted_secs=task.posted_at - task.submitted_at,
        gas=_gas(stage.desk.rpc, sent, events),
        output=answer.output,
        right=sum(case.is_right(text) for case, text in zip(sent.ask.cases, texts, strict=True)),
        audit=audit,
    )


def overtaken(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Tasks submitted before the last one that were claimed in a later block than it."""
    *earlier, late = outcomes
    return [item for item in earlier if item.claimed_block > late.claimed_block]


def _gas(rpc: Rpc, sent: Sent, events: Sequence[Event]) -> Gas:
    shares = []
    for kind in (TaskClaimed, ResultPosted, TaskSettled):
        of_kind = [event for event in events if isinstance(event, kind)]
        own = [event for event in of_kind if event.task_id == sent.task_id][-1]
        together = sum(event.at.tx_hash == own.at.tx_hash for event in of_kind)
        shares.append(gas_of(rpc, own.at.tx_hash) // together)
    return Gas(sent.receipt.gas_used, *shares)
