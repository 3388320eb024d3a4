"""The four tasks of the demo, and how each is submitted and watched."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from eth_account.signers.local import LocalAccount

from chain.journal import TxReceipt
from protocol.batchfile import Message, Prompt
from protocol.lifecycle import TaskState
from protocol.params import GenerationParams
from protocol.replay import MarketView
from scripts.demo_job.stage import DemoFailed, Stage, tail
from scripts.train_demo_model import prompts
from scripts.train_demo_model.tasks import Case, sum_or_difference
from wallet.desk import clock
from wallet.hand import Hand, send
from wallet.inputs import Question
from wallet.journal import Journal
from wallet.submit import Draft, Wishes, draft, price

ANSWER_TOKENS = 8
TIP_UNITS = 20_000
_POLL_SECS = 0.4
_ALL_SERVED_SECS = 150.0
_ENDED = (TaskState.SETTLED, TaskState.REFUNDED)


@dataclass(frozen=True, slots=True)
class Ask:
    """One task before it is sent; `cases` hold the questions and how to tell a right answer."""

    title: str
    wallet: str
    cases: Sequence[Case]
    max_tokens: int
    tip_units: int = 0

    def question(self) -> Question:
        """Greedy, so that the audit can check every token."""
        several = len(self.cases) > 1
        found = tuple(
            Prompt(
                f"question-{place}" if several else "prompt",
                messages=tuple(Message(turn["role"], turn["content"]) for turn in case.messages()),
            )
            for place, case in enumerate(self.cases, 1)
        )
        return Question(found, GenerationParams(max_tokens=self.max_tokens))


@dataclass(frozen=True, slots=True)
class Sent:
    """A task on chain."""

    ask: Ask
    draft: Draft
    receipt: TxReceipt

    @property
    def task_id(self) -> bytes:
        return self.draft.task_id


def first_asks() -> list[Ask]:
    """A chat prompt, a batch of 64 over one long shared prefix, and one long generation."""
    return [
        Ask("one chat prompt", "chat", [prompts.chat_question()], ANSWER_TOKENS),
        Ask(
            "batch of 64 prompts, long shared prefix",
            "batch",
            prompts.shared_prefix_questions(),
            ANSWER_TOKENS,
        ),
        Ask("one long generation", "story", [prompts.long_story()], prompts.STORY_MAX_TOKENS),
    ]


def late_ask() -> Ask:
    """Comes last and pays most per token: it has to be served before what waits."""
    return Ask("later, with a higher tip", "chat", [sum_or_difference("618-74")], ANSWER_TOKENS, TIP_UNITS)


def submit(stage: Stage, ask: Ask, account: LocalAccount) -> Sent:
    """What `quern submit` does with the defaults of `quern quote`."""
    desk = stage.desk
    snapshot, terms, question = desk.read(), desk.terms(), ask.question()
    now, model_id = clock(snapshot.head), stage.model.model_id
    wishes = Wishes(tip_units=ask.tip_units)
    _, offer = price(snapshot.market, now, model_id, question.max_output_tokens, wishes, terms)
    ready = draft(desk.domain, account.address, model_id, question, offer, now)
    journal, hand = Journal(stage.home.journal), Hand(account)
    *_, receipt = send(desk, ready, offer.max_price_units, hand, ask.wallet, stage.store, journal)
    return Sent(ask, ready, receipt)


def progress(
    stage: Stage, sent: Sequence[Sent], done: Callable[[MarketView], bool]
) -> Iterator[tuple[MarketView, float]]:
    """(market, seconds since the start) at every look, until `done`. Raises DemoFailed when it takes too long."""
    started = time.monotonic()
    while True:
        market = stage.desk.read().market
        waited_secs = time.monotonic() - started
        yield market, waited_secs
        if done(market):
            return
        if stage.worker_process.poll() is not None:
            raise DemoFailed(
                f"the worker ended with status {stage.worker_process.returncode}:\n{tail(stage.worker_log)}"
            )
        if waited_secs > _ALL_SERVED_SECS:
            states = ", ".join(market.tasks[item.task_id].state.name.lower() for item in sent)
            raise DemoFailed(
                f"after {waited_secs:.0f} s the tasks are {states}; the worker's log ends:\n{tail(stage.worker_log)}"
            )
        time.sleep(_POLL_SECS)


def all_ended(sent: Sequence[Sent]) -> Callable[[MarketView], bool]:
    """Whether money has moved for every task."""
    return lambda market: all(market.tasks[item.task_id].state in _ENDED for item in sent)
