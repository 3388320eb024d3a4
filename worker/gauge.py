"""What the engines are doing, as others see it: a snapshot that is replaced whole, to be read from any thread."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine.base import EngineFacts
from worker.fleet import Fleet
from worker.inputs import PreparedPrompt
from worker.pace import OutputShare
from worker.planning import Plan
from worker.policy import Rates
from worker.selection import prediction_of, rates_of, regret_secs

_SPEED_WINDOW_SECS = 10.0
_ESTIMATE_SECS = 1.0


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """A snapshot for reports. `strategy` is the one fed last, `resident` are all engines that are up, `starting` is
    the strategy whose engine is being started.

    `output_share` is how much of what they may produce prompts here do produce; `left_secs` what running tasks still
    take at the speed they have, as far as that can be told; `regret_secs` what the strategy is predicted to cost
    beyond the best predicted one.
    """

    strategy: str | None = None
    resident: tuple[str, ...] = ()
    why: str = ""
    regret_secs: float = 0.0
    engine: str = ""
    starting: str = ""
    starts: int = 0
    failures: int = 0
    output_tokens: int = 0
    tokens_per_s: float = 0.0
    rates: Rates = field(default_factory=Rates)
    tokens_done: Mapping[bytes, int] = field(default_factory=dict)
    running: frozenset[bytes] = frozenset()
    output_share: float = 1.0
    left_secs: Mapping[bytes, float] = field(default_factory=dict)


class Gauge:
    """Keeps `status` of a fleet; one thread tells it what happens."""

    def __init__(self, fleet: Fleet, output_share: OutputShare) -> None:
        self.status = EngineStatus()
        self._fleet = fleet
        self._output_share = output_share
        self._produced: deque[tuple[float, int]] = deque()
        self._estimated_at = self._read_at = 0.0

    def starting(self, strategy: str) -> None:
        """An engine is being started; the thread that tells so waits for it."""
        self.read(0)
        self.status = replace(self.status, starting=strategy)

    def started(self, facts: EngineFacts) -> None:
        """One more engine is up."""
        engine = f"{facts.engine} {facts.version} on {facts.device}"
        self.status = replace(self.status, engine=engine, starting="", starts=self.status.starts + 1)

    def failed(self) -> None:
        """An engine did not start, or ended with nothing inside."""
        self.status = replace(self.status, starting="", failures=self.status.failures + 1)

    def buried(self) -> None:
        """The engine fed last, or another that had work, is gone."""
        self.status = replace(self.status, failures=self.status.failures + 1, strategy=None)
        self.read(0)

    def fed(self, plan: Plan, prompts: Sequence[PreparedPrompt]) -> None:
        """These prompts went to an engine under that plan."""
        if len(prompts) > 1 and plan.choice is not None:
            prompt_tokens = sum(len(prompt.token_ids) for prompt in prompts)
            most_tokens = sum(prompt.max_tokens for prompt in prompts)
            rates = rates_of(prediction_of(plan.choice), prompt_tokens, most_tokens)
            self.status = replace(self.status, rates=rates)
        regret = 0.0 if plan.choice is None else regret_secs(plan.choice)
        self.status = replace(self.status, strategy=plan.strategy.name, why=plan.why, regret_secs=regret)
        self.read(0)

    def keep_up(self) -> None:
        """Look again where nothing was heard for a second: a speed falls also while no token comes."""
        if time.monotonic() - self._read_at > _ESTIMATE_SECS:
            self.read(0)

    def read(self, fresh_tokens: int) -> None:
        """Look at the engines, after so many new tokens."""
        now = self._read_at = time.monotonic()
        if fresh_tokens:
            self._produced.append((now, fresh_tokens))
        while self._produced and self._produced[0][0] < now - _SPEED_WINDOW_SECS:
            self._produced.popleft()
        span = max(1.0, now - self._produced[0][0]) if self._produced else 1.0
        busy = self._fleet.busy
        if now - self._estimated_at > _ESTIMATE_SECS:
            self._estimated_at, share = now, self._output_share.value
            left = {task: secs for each in busy for task, secs in each.left_secs(share).items()}
            self.status = replace(self.status, left_secs=left, output_share=share)
        self.status = replace(
            self.status,
            output_tokens=self.status.output_tokens + fresh_tokens,
            tokens_per_s=sum(tokens for _, tokens in self._produced) / span,
            tokens_done={task: done for resident in busy for task, done in resident.tokens_done().items()},
            running=frozenset().union(*(resident.running for resident in busy)),
            resident=tuple(f"{each.strategy.name} of {each.model.path.name}" for each in self._fleet),
        )
