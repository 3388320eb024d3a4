"""transformers in this process: greedy generation and prefill checks that share no code with vLLM's."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.base import (
    BadEngineArgument,
    CheckedSequence,
    EngineConfig,
    EngineFacts,
    EngineNotInstalled,
    EngineStartFailed,
    JsonValue,
    Sampling,
    TokenCheck,
    UnknownEngineArgument,
)
from engine.environment import engine_environment
from engine.quirks import hide_broken_modules
from engine.stepped import OpenRequest, SteppedEngine
from engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel

_DTYPES = ("float32", "bfloat16", "float16")
# Each holds a cache and takes its turn; more of them at once finish no sooner.
_MAX_RUNNING = 4


@dataclass(frozen=True)
class _Arguments:
    dtype: str = "float32"
    device: str = "cpu"

    @classmethod
    def of(cls, engine_args: Mapping[str, JsonValue]) -> _Arguments:
        for name in engine_args:
            if name not in ("dtype", "device"):
                raise UnknownEngineArgument(
                    f"engine argument {name!r}: the transformers engine takes dtype and device"
                )
        dtype, device = engine_args.get("dtype", cls.dtype), engine_args.get("device", cls.device)
        if dtype not in _DTYPES:
            raise BadEngineArgument(f"engine argument dtype is {dtype!r}: give one of {', '.join(_DTYPES)}")
        return cls(str(dtype), str(device))


@dataclass(slots=True)
class _Decoding:
    item: OpenRequest
    next_input: torch.Tensor
    cache: Cache | None = None


class TransformersEngine(SteppedEngine):
    """See `engine.base.Engine`. Greedy only; `engine_args` are `dtype` (float32 unless given) and `device`.

    Prompts are generated one beside another, not in a batch: it is a second opinion, not a fast engine.
    """

    kind = "transformers"

    def __init__(self, config: EngineConfig) -> None:
        super().__init__()
        self._config = config
        self._arguments = _Arguments.of(config.engine_args)
        self._waiting: deque[OpenRequest] = deque()
        self._decoding: list[_Decoding] = []

    def start(self, timeout_secs: float) -> EngineFacts:  # noqa: ARG002
        """`timeout_secs` cannot interrupt the loading: `engine.child` does."""
        began = time.monotonic()
        environment = engine_environment(self._config.environment)
        os.environ.update(environment)
        self._tokenizer = Tokenizer(self._config.model_dir)
        self._model, version = self._load()
        self._vocab_size = self._model.config.vocab_size
        self._max_model_len = self._model.config.max_position_embeddings
        self._started = True
        return EngineFacts(
            engine="transformers",
            version=version,
            device=self._arguments.device,
            dtype=self._arguments.dtype,
            max_model_len=self._max_model_len,
            attention_backend=str(self._model.config._attn_implementation),  # noqa: SLF001 - its only name
            tensor_parallel_size=1,
            pipeline_parallel_size=1,
            environment=environment,
            start_secs=time.monotonic() - began,
        )

    def _load(self) -> tuple[PreTrainedModel, str]:
        hide_broken_modules()
        try:
            import torch
            import transformers
        except ImportError as error:
            raise EngineNotInstalled(
                f"transformers engine: {error}: install the extra 'cpu' or 'gpu'"
            ) from error
        try:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                self._config.model_dir,
                dtype=getattr(torch, self._arguments.dtype),
                local_files_only=True,
                trust_remote_code=False,
            )
            return model.to(self._arguments.device).eval(), transformers.__version__
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            reason = str(error).strip().splitlines()[0]
            raise EngineStartFailed(f"transformers engine: {type(error).__name__}: {reason}") from error

    def _admit(self, item: OpenRequest) -> None:
        sampling = item.request.sampling
        if sampling.temperature > 0 or sampling != Sampling(
            top_p=sampling.top_p, top_k=sampling.top_k, stop=sampling.stop, seed=sampling.seed
        ):
            raise ValueError("transformers engine: generates greedily without penalties only")
        self._waiting.append(item)

    def _drop(self, item: OpenRequest) -> None:
        if item in self._waiting:
            self._waiting.remove(item)
        self._decoding = [running for running in self._decoding if running.item is not item]

    def _step(self) -> float:
        while self._waiting and len(self._decoding) < _MAX_RUNNING:
            item = self._waiting.popleft()
            self._decoding.append(_Decoding(item, self._tensor(item.request.prompt_token_ids)))
        for running in self._decoding:
            self._decode_one(running)
        self._decoding = [
            running for running in self._decoding if running.item.request.request_id in self._open
        ]
        return 0.0

    def _decode_one(self, running: _Decoding) -> None:
        import torch

        with torch.inference_mode():
            answer = self._model(
                input_ids=running.next_input, past_key_values=running.cache, use_cache=True, logits_to_keep=1
            )
        token = int(answer.logits[0, -1].argmax())
        running.cache, running.next_input = answer.past_key_values, self._tensor((token,))
        item = running.item
        self._report(item, (token,))
        length = len(item.token_ids)
        window_full = len(item.request.prompt_token_ids) + length >= self._max_model_len
        if token in self._tokenizer.eos_token_ids or self._has_stop_text(item):
            self._finish(item, "stop")
        elif length >= item.request.max_tokens or window_full:
            self._finish(item, "length")

    def _has_stop_text(self, item: OpenRequest) -> bool:
        stops = item.request.sampling.stop
        return bool(stops) and any(stop in self._tokenizer.decode(item.token_ids) for stop in stops)

    def _score(self, sequences: Sequence[CheckedSequence]) -> list[TokenCheck]:
        return [self._score_one(*sequence) for sequence in sequences]

    def _score_one(self, request_id: str, prompt: tuple[int, ...], output: tuple[int, ...]) -> TokenCheck:
        import torch

        with torch.inference_mode():
            # The logits at a position judge the token after it: those from the prompt's last token on.
            answer = self._model(
                input_ids=self._tensor(prompt + output[:-1]), use_cache=False, logits_to_keep=len(output)
            )
            logprobs = torch.log_softmax(answer.logits[0].float(), dim=-1)
            given = logprobs.gather(1, self._tensor(output).T)[:, 0]
            best = logprobs.max(dim=-1)
        return TokenCheck(
            request_id, tuple(given.tolist()), tuple(best.values.tolist()), tuple(best.indices.tolist())
        )

    def _tensor(self, token_ids: Sequence[int]) -> torch.Tensor:
        """Shape (1, tokens)."""
        import torch

        return torch.tensor([token_ids], dtype=torch.long, device=self._arguments.device)
