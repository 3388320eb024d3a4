"""vLLM in this process: one `LLMEngine`, stepped by whoever waits for events."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.base import (
    CheckedSequence,
    EngineConfig,
    EngineFacts,
    EngineMetrics,
    Sampling,
    TokenCheck,
)
from engine.environment import engine_environment
from engine.oom import crash
from engine.stepped import OpenRequest, SteppedEngine
from engine.vllm_start import attention_backend, start_vllm

if TYPE_CHECKING:
    from vllm.outputs import RequestOutput
    from vllm.sampling_params import SamplingParams

logger = logging.getLogger(__name__)

# Keeps our own prefill checks apart from callers' requests inside vLLM, whatever ids callers choose.
_REQUEST, _CHECK = "r:", "c:"

# Every output object vLLM hands out costs a step time: the more requests run, the more tokens go into each.
_REQUESTS_PER_INTERVAL = 8
_LONGEST_INTERVAL = 16


class VllmEngine(SteppedEngine):
    """See `engine.base.Engine`. `config.engine_args` are vLLM's EngineArgs.

    `start` sets this process's environment variables, because vLLM reads its own from there, and its
    `timeout_secs` cannot interrupt vLLM: whoever needs either done safely uses `engine.child`.
    """

    kind = "vllm"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__()
        self._config = config
        self._checked: dict[str, RequestOutput] = {}

    def start(self, timeout_secs: float) -> EngineFacts:  # noqa: ARG002
        began = time.monotonic()
        environment = engine_environment(self._config.environment)
        os.environ.update(environment)
        self._llm, version, device = start_vllm(self._config)
        model, parallel = self._llm.model_config, self._llm.vllm_config.parallel_config
        self._vocab_size, self._max_model_len = model.get_vocab_size(), model.max_model_len
        self._started = True
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

    def metrics(self) -> EngineMetrics:
        ours = super().metrics()
        if not self._llm.log_stats:
            return ours
        seen: dict[str, int] = {}
        for metric in self._llm.get_metrics():
            if hasattr(metric, "value"):
                seen[metric.name] = seen.get(metric.name, 0) + int(metric.value)
        running = min(ours.running, seen.get("vllm:num_requests_running", 0))
        return replace(
            ours,
            running=running,
            waiting=ours.running + ours.waiting - running,
            prefix_hit_tokens=seen.get("vllm:prefix_cache_hits", 0),
            preemptions=seen.get("vllm:num_preemptions", 0),
            draft_tokens=seen.get("vllm:spec_decode_num_draft_tokens", 0),
            accepted_tokens=seen.get("vllm:spec_decode_num_accepted_tokens", 0),
        )

    def stop(self) -> None:
        if self._stopped:
            return
        super().stop()
        # Alone in its process, vLLM is gone soonest when the process is; other processes want to be told.
        if self._started and self._llm.vllm_config.parallel_config.world_size > 1:
            with self._stepping:
                self._llm.engine_core.shutdown()

    def _admit(self, item: OpenRequest) -> None:
        request = item.request
        interval = min(_LONGEST_INTERVAL, 1 + len(self._open) // _REQUESTS_PER_INTERVAL)
        sampling = _sampling_params(request.sampling, request.max_tokens, interval)
        self._add(_REQUEST + request.request_id, request.prompt_token_ids, sampling)

    def _drop(self, item: OpenRequest) -> None:
        self._llm.abort_request([_REQUEST + item.request.request_id])

    def _add(self, vllm_id: str, prompt: tuple[int, ...], sampling: SamplingParams) -> None:
        self._llm.add_request(vllm_id, {"type": "token", "prompt_token_ids": list(prompt)}, sampling)

    def _step(self) -> float:
        try:
            outputs = self._llm.step()
        except Exception as error:
            logger.exception("vLLM failed in a step")
            raise crash("vllm", error) from error
        for output in outputs:
            item = self._open.get(output.request_id.removeprefix(_REQUEST))
            if output.request_id.startswith(_CHECK):
                self._checked[output.request_id] = output
            elif item is not None:
                self._hear(item, output)
        return 0.0

    def _hear(self, item: OpenRequest, output: RequestOutput) -> None:
        generated = output.outputs[0]
        self._report(item, generated.token_ids)
        if not output.finished:
            return
        if generated.finish_reason in ("stop", "length"):
            self._finish(item, generated.finish_reason)
        else:
            self._finish(item, "error", f"vLLM ended it: {generated.finish_reason}")

    def _score(self, sequences: Sequence[CheckedSequence]) -> list[TokenCheck]:
        self._checked.clear()
        for index, (_, prompt, output) in enumerate(sequences):
            self._add(f"{_CHECK}{index}", prompt + output[:-1], _check_sampling(output[-1]))
        while len(self._checked) < len(sequences):
            self._step()
        return [
            _token_check(request_id, len(prompt), output, self._checked[f"{_CHECK}{index}"])
            for index, (request_id, prompt, output) in enumerate(sequences)
        ]


def _sampling_params(sampling: Sampling, max_tokens: int, stream_interval: int) -> SamplingParams:
    from vllm.sampling_params import RequestOutputKind, SamplingParams

    # Older vLLM knows the interval for a whole engine only.
    streaming = (
        {"stream_interval": stream_interval} if "stream_interval" in SamplingParams.__struct_fields__ else {}
    )
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
        # Only stop strings need text; without them detokenizing is pure cost.
        detokenize=bool(sampling.stop),
        output_kind=RequestOutputKind.DELTA,
        skip_clone=True,
        **streaming,
    )


def _check_sampling(last_token_id: int) -> SamplingParams:
    """One prefill that scores its prompt, then is made to "generate" the last output token.

    Generating that token, rather than feeding it, scores it too and lets a sequence fill the model's window.
    vLLM itself keeps a request with `prompt_logprobs` from reading the prefix cache, which has no logits in
    it.
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
    request_id: str, prompt_tokens: int, output: tuple[int, ...], scored: RequestOutput
) -> TokenCheck:
    positions = [*scored.prompt_logprobs[prompt_tokens:], *scored.outputs[0].logprobs]
    best = [max(position.items(), key=lambda item: item[1].logprob) for position in positions]
    return TokenCheck(
        request_id=request_id,
        logprobs=tuple(position[token].logprob for position, token in zip(positions, output, strict=True)),
        best_logprobs=tuple(entry.logprob for _, entry in best),
        best_token_ids=tuple(token for token, _ in best),
    )
