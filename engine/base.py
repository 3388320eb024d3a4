"""What every engine takes, gives and promises. Times are unix seconds, log probabilities natural logs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
EngineKind: TypeAlias = Literal["vllm", "fake", "transformers"]
FinishReason: TypeAlias = Literal["stop", "length", "error"]
CheckedSequence: TypeAlias = tuple[str, tuple[int, ...], tuple[int, ...]]
"""Request id, prompt tokens, output tokens to score."""

ABORTED = "aborted"
"""`Completion.error` of a request that `Engine.abort` ended."""


class EngineError(RuntimeError):
    """Base of all an engine raises. `code` is what an operator searches for; `exit_status` is the CLI's."""

    code = "ENGINE-000"
    exit_status = 1

    def __init__(self, message: str) -> None:
        super().__init__(f"{self.code} {message}")


class UnknownEngineArgument(EngineError, ValueError):
    """A strategy names an engine argument this engine does not have."""

    code = "ENGINE-001"
    exit_status = 2


class BadEngineArgument(EngineError, ValueError):
    """The engine knows the argument and refuses its value, or the arguments contradict each other."""

    code = "ENGINE-002"
    exit_status = 2


class ModelUnreadable(EngineError, OSError):
    """The model directory lacks a file, or a file in it cannot be read."""

    code = "ENGINE-003"
    exit_status = 2


class EngineNotInstalled(EngineError, ImportError):
    """The library behind this kind of engine is not installed."""

    code = "ENGINE-004"
    exit_status = 2


class EngineStartFailed(EngineError):
    """The engine did not come up: an error while loading, or not ready within the time given."""

    code = "ENGINE-005"


class EngineCrashed(EngineError):
    """The engine's process ended without being asked to (crash, out-of-memory kill, kill -9)."""

    code = "ENGINE-006"


class EngineOutOfMemory(EngineCrashed):
    """The engine asked for more memory than there is: it said so itself, or the kernel killed it for that."""

    code = "ENGINE-012"


class EngineHung(EngineError, TimeoutError):
    """The engine's process lives and says nothing any more. It has been killed."""

    code = "ENGINE-007"


class EngineNotRunning(EngineError):
    """A call before `start` or after `stop`."""

    code = "ENGINE-008"


class DuplicateRequest(EngineError, ValueError):
    """A request id that is still generating was submitted again."""

    code = "ENGINE-009"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a token is chosen, as vLLM's SamplingParams. `temperature` 0 is greedy, `top_k` 0 is off."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One prompt to continue. `request_id` must be unique among the requests now in the engine."""

    request_id: str
    prompt_token_ids: tuple[int, ...]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True)
class Progress:
    """Tokens generated since the last event of this request; all of them together are the completion's."""

    request_id: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of a request; every submitted request gets exactly one.

    `token_ids` are all output tokens, the end-of-sequence token included where one ended the output, exactly
    as vLLM reports them. `error` is set if and only if `finish_reason` is "error"; it is `ABORTED` after an
    abort.
    """

    request_id: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    error: str | None
    prompt_tokens: int
    submitted_at: float
    first_token_at: float | None
    finished_at: float


Event: TypeAlias = "Progress | Completion"


@dataclass(frozen=True, slots=True)
class TokenCheck:
    """Raw-logit log probabilities (no temperature, no penalties), one entry per output token.

    `logprobs[i]` is that of the given token, `best_logprobs[i]` that of the likeliest, `best_token_ids[i]`:
    greedy output has the two within the engines' numerical noise of each other.
    """

    request_id: str
    logprobs: tuple[float, ...]
    best_logprobs: tuple[float, ...]
    best_token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EngineMetrics:
    """Counters since the start, and the queue now (`running`, `waiting`)."""

    generated_tokens: int = 0
    prompt_tokens: int = 0
    running: int = 0
    waiting: int = 0
    prefix_hit_tokens: int = 0
    preemptions: int = 0
    draft_tokens: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What to start. `engine_args` are the engine's own (vLLM's EngineArgs); `environment` wins over ours."""

    model_dir: Path
    engine_args: Mapping[str, JsonValue] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What came up: enough for somebody else to start the same engine."""

    engine: EngineKind
    version: str
    device: str
    dtype: str
    max_model_len: int
    attention_backend: str
    tensor_parallel_size: int
    pipeline_parallel_size: int
    environment: Mapping[str, str]
    start_secs: float

    def digestible(self) -> dict[str, JsonValue]:
        """All facts but the start time, which no two starts share. Hashed into a receipt's engineDigest."""
        return {
            "engine": self.engine,
            "version": self.version,
            "device": self.device,
            "dtype": self.dtype,
            "maxModelLen": self.max_model_len,
            "attentionBackend": self.attention_backend,
            "tensorParallelSize": self.tensor_parallel_size,
            "pipelineParallelSize": self.pipeline_parallel_size,
            "environment": dict(sorted(self.environment.items())),
        }


class Engine(Protocol):
    """One model under one strategy, from `start` to `stop`; an engine is started once.

    `submit`, `abort` and `metrics` may be called from any thread while another waits in `events`. A request
    the engine cannot serve (prompt too long, token outside the vocabulary, unservable sampling) ends as a
    `Completion` with finish_reason "error"; the others go on.
    """

    def start(self, timeout_secs: float) -> EngineFacts:
        """Load the model and get ready.

        Raises UnknownEngineArgument, BadEngineArgument, ModelUnreadable, EngineNotInstalled,
        EngineStartFailed.
        """

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        """Queue requests and return at once. Raises DuplicateRequest (queueing none), EngineNotRunning."""

    def events(self, timeout_secs: float) -> list[Event]:
        """Wait up to `timeout_secs` for at least one event; an empty list after that.

        Raises EngineCrashed or EngineHung, after every event that came before has been handed out.
        """

    def abort(self, request_ids: Sequence[str]) -> None:
        """End these requests with what they have; unknown ids, which may just have finished, are ignored."""

    def prefill_check(self, prompts_and_outputs: Sequence[CheckedSequence]) -> list[TokenCheck]:
        """Score given outputs with one prefill per sequence.

        Answers in the order asked. Raises ValueError naming a sequence that the model cannot hold.
        """

    def metrics(self) -> EngineMetrics:
        """Counters and queue lengths as of now."""

    def stop(self) -> None:
        """Free everything. May be called twice, and before `start`."""
