"""vLLM in this process: one `LLMEngine`, stepped by whoever waits in `events`. Its process is `engine.child`'s."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.admission import why_bad_tokens, why_unservable
from engine.base import (
    ABORTED,
    Completion,
    DuplicateRequest,
    EngineConfig,
    EngineCrashed,
    EngineFacts,
    EngineMetrics,
    EngineNotRunning,
    Event,
    FinishReason,
    GenerationRequest,
    Progress,
    Sampling,
    TokenCheck,
)
from engine.environment import engine_environment
from engine.vllm_start import attention_backend, start_vllm

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.llm_engine import LLMEngine

logger = logging.getLogger(__name__)

# Keeps the ids of our own prefill checks apart from the callers' ids; no caller can have this prefix in vLLM.
_REQUEST, _CHECK = "r:", "c:"


@dataclass(slots=True)
class _Running:
    request: GenerationRequest
    submitted_at: float
    token_ids: list[int] = field(default_factory=list)
    first_token_at: float | None = None


class VllmEngine:
    """See `engine.base.Engine`. `config.engine_args` are vLLM's EngineArgs, but for `model` and what runs foreign code.

    `start` sets this process's environment variables, because vLLM reads its own from there.
    """

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._llm: LLMEngine | None = None
        self._stopped = False
        self._vocab_size = self._max_model_len = 0
        self._generated_tokens = self._prompt_tokens = 0
        # Guards the three queues between callers and whoever steps.
        self._changed = threading.Condition()
        self._submitted: deque[_Running] = deque()
        self._aborted: deque[str] = deque()
        self._ready: deque[Event] = deque()
        # Every request from submission to completion; guarded by `_changed`.
        self._open: dict[str, _Running] = {}
        # Held by the one thread that is inside vLLM.
        self._stepping = threading.RLock()
        self._checked: dict[str, RequestOutput] = {}

    def start(self, timeout_secs: float) -> EngineFacts:
        """`timeout_secs` cannot interrupt vLLM here; the parent of `engine.child` enforces it."""
        began = time.monotonic()
        environment = engine_environment(self._config.environment)
        os.environ.update(environment)
        self._llm, version, device = start_vllm(self._config)
        model = self._llm.model_config
        parallel = self._llm.vllm_config.parallel_config
        self._vocab_size, self._max_model_len = model.get_vocab_size(), model.max_model_len
        return EngineFacts(
            engine="vllm",
            version=version,
            device=device,
            dtype=str(model.dtype).removeprefix("torch."),
            max_model_len=self._max_model_len,
            attention_backend=attention_backend(self._llm),
            tensor_parallel_size=parallel.tensor_parallel_size,
            pipeline_parallel_size=parallel.pipeline_parallel_size,
            environment=environment,
            start_secs=time.monotonic() - began,
        )

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        self._require_running()
        now = time.time()
        with self._changed:
            for request in requests:
                if request.request_id in self._open:
                    raise DuplicateRequest(f"request {request.request_id!r} is already in the engine")
            fresh = [_Running(request, now) for request in requests]
            self._open.update((item.request.request_id, item) for item in fresh)
            self._submitted.extend(fresh)
            self._changed.notify_all()

    def events(self, timeout_secs: float) -> list[Event]:
        deadline = time.monotonic() + timeout_secs
        while True:
            llm = self._require_running()
            with self._stepping:
                self._take_in(llm)
                if llm.has_unfinished_requests():
                    self._step(llm)
            with self._changed:
                if self._ready:
                    found = list(self._ready)
                    self._ready.clear()
                    return found
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                if not self._open:
                    self._changed.wait(left)

    def abort(self, request_ids: Sequence[str]) -> None:
        with self._changed:
            self._aborted.extend(request_ids)
            self._changed.notify_all()

    def prefill_check(
        self, prompts_and_outputs: Sequence[tuple[str, tuple[int, ...], tuple[int, ...]]]
    ) -> list[TokenCheck]:
        llm = self._require_running()
        for request_id, prompt, output in prompts_and_outputs:
            problem = why_bad_tokens(prompt, self._vocab_size) or why_bad_tokens(
                output or prompt, self._vocab_size
            )
            if problem is None and len(prompt) + len(output) > self._max_model_len:
                problem = f"prompt and output have {len(prompt) + len(output)} tokens: the window is {self._max_model_len}"
            if problem is not None:
                raise ValueError(f"{request_id}: {problem}")
        asked = {
            f"{_CHECK}{index}": (prompt, output)
            for index, (_, prompt, output) in enumerate(prompts_and_outputs)
            if output
        }
        with self._stepping:
            self._checked.clear()
            for check_id, (prompt, output) in asked.items():
                self._add(llm, check_id, prompt + output[:-1], _check_sampling(output[-1]))
            while len(self._checked) < len(asked):
                self._take_in(llm)
                self._step(llm)
            return [
                _token_check(request_id, len(prompt), output, self._checked.get(f"{_CHECK}{index}"))
                for index, (request_id, prompt, output) in enumerate(prompts_and_outputs)
            ]

    def metrics(self) -> EngineMetrics:
        llm = self._require_running()
        seen: dict[str, int] = {}
        for metric in llm.get_metrics() if llm.log_stats else ():
            if hasattr(metric, "value"):
                seen[metric.name] = seen.get(metric.name, 0) + int(metric.value)
        with self._changed:
            return EngineMetrics(
                generated_tokens=self._generated_tokens,
                prompt_tokens=self._prompt_tokens,
                running=seen.get("vllm:num_requests_running", 0),
                waiting=seen.get("vllm:num_requests_waiting", 0) + len(self._submitted),
                prefix_hit_tokens=seen.get("vllm:prefix_cache_hits", 0),
                preemptions=seen.get("vllm:num_preemptions", 0),
                draft_tokens=seen.get("vllm:spec_decode_num_draft_tokens", 0),
                accepted_tokens=seen.get("vllm:spec_decode_num_accepted_tokens", 0),
            )

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        with self._stepping:
            if self._llm is not None:
                self._llm.engine_core.shutdown()
                self._llm = None

    def _require_running(self) -> LLMEngine:
        if self._llm is None or self._stopped:
            raise EngineNotRunning(f"vllm engine: {'stopped' if self._stopped else 'not started'}")
        return self._llm

    def _take_in(self, llm: LLMEngine) -> None:
        """Hand vLLM what callers have queued since the last step."""
        if not self._submitted and not self._aborted:
            return
        with self._changed:
            fresh, self._submitted = self._submitted, deque()
            aborted, self._aborted = self._aborted, deque()
        for running in fresh:
            self._admit(llm, running)
        for request_id in aborted:
            ended = self._open.get(request_id)
            if ended is not None:
                llm.abort_request([_REQUEST + request_id])
                self._finish(ended, "error", ABORTED)

    def _admit(self, llm: LLMEngine, running: _Running) -> None:
        request = running.request
        problem = why_unservable(request, self._vocab_size, self._max_model_len)
        if problem is None:
            try:
                sampling = _sampling_params(request.sampling, request.max_tokens)
                self._add(llm, _REQUEST + request.request_id, request.prompt_token_ids, sampling)
            except ValueError as error:
                problem = str(error).splitlines()[0]
        if problem is not None:
            self._finish(running, "error", problem)
            return
        self._prompt_tokens += len(request.prompt_token_ids)

    def _add(self, llm: LLMEngine, vllm_id: str, prompt: tuple[int, ...], sampling: SamplingParams) -> None:
        llm.add_request(vllm_id, {"type": "token", "prompt_token_ids": list(prompt)}, sampling)

    def _step(self, llm: LLMEngine) -> None:
        try:
            outputs = llm.step()
        except Exception as error:
            logger.exception("vLLM failed in a step")
            raise EngineCrashed(f"vllm engine: {type(error).__name__}: {error}") from error
        now = time.time()
        for output in outputs:
            if output.request_id.startswith(_CHECK):
                self._checked[output.request_id] = output
                continue
            running = self._open.get(output.request_id.removeprefix(_REQUEST))
            if running is not None:
                self._report(running, output, now)

    def _report(self, running: _Running, output: RequestOutput, now: float) -> None:
        generated = output.outputs[0]
        fresh = tuple(generated.token_ids)
        if fresh:
            running.first_token_at = running.first_token_at or now
            running.token_ids.extend(fresh)
            self._generated_tokens += len(fresh)
            with self._changed:
                self._ready.append(Progress(running.request.request_id, fresh))
        if not output.finished:
            return
        if generated.finish_reason in ("stop", "length"):
            self._finish(running, generated.finish_reason, None)
        else:
            self._finish(running, "error", f"vLLM ended it: {generated.finish_reason}")

    def _finish(self, running: _Running, reason: FinishReason, error: str | None) -> None:
        request = running.request
        completion = Completion(
            request_id=request.request_id,
            token_ids=tuple(running.token_ids),
            finish_reason=reason,
            error=error,
            prompt_tokens=len(request.prompt_token_ids),
            submitted_at=running.submitted_at,
            first_token_at=running.first_token_at,
            finished_at=time.time(),
        )
        with self._changed:
            del self._open[request.request_id]
            self._ready.append(completion)


def _sampling_params(sampling: Sampling, max_tokens: int) -> SamplingParams:
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    return SamplingParams(
        max_tokens=max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=sampling.repetition_penalty,
        stop=list(sampling.stop),
        seed=sampling.seed,
        # Only stop strings need text; without them vLLM's detokenizer is pure cost.
        detokenize=bool(sampling.stop),
        output_kind=RequestOutputKind.DELTA,
        skip_clone=True,
    )


def _check_sampling(last_token_id: int) -> SamplingParams:
    """One prefill that scores its prompt, then is made to "generate" the last output token.

    Generating that token, rather than feeding it, scores it too, and lets a sequence fill the model's window. vLLM
    itself keeps a request with `prompt_logprobs` from reading the prefix cache, which has no logits in it.
    """
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    return SamplingParams(
        max_tokens=1,
        temperature=0.0,
        prompt_logprobs=1,
        logprobs=1,
        allowed_token_ids=[last_token_id],
        flat_logprobs=True,
        detokenize=False,
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )


def _token_check(
    request_id: str, prompt_tokens: int, output: tuple[int, ...], scored: RequestOutput | None
) -> TokenCheck:
    """`scored` is None for an empty output, of which there is nothing to score."""
    if scored is None:
        return TokenCheck(request_id, (), (), ())
    positions = [*scored.prompt_logprobs[prompt_tokens:], *scored.outputs[0].logprobs]
    best = [max(position.items(), key=lambda item: item[1].logprob) for position in positions]
    return TokenCheck(
        request_id=request_id,
        logprobs=tuple(position[token].logprob for position, token in zip(positions, output, strict=True)),
        best_logprobs=tuple(entry.logprob for _, entry in best),
        best_token_ids=tuple(token for token, _ in best),
    )
