"""Defects of the tested vLLM that an engine must not pass on, each with its symptom and its cure."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.structured_output.grammar import GrammarOutput


def hide_broken_modules() -> None:
    """Importing vLLM fails in torchvision: its CPU build brings CUDA builds of these, which text never needs."""
    for name in ("torchvision", "torchaudio", "torchcodec"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def keep_eager_eager() -> None:
    """The first `prefill_check` waits seconds for a compiler, or dies without one, though eager was asked.

    vLLM compiles two sampling helpers whatever `enforce_eager` says; on a CPU they are no faster compiled.
    """
    import torch

    torch._dynamo.config.disable = True  # noqa: SLF001 - its only name


def spare_cpu_generators() -> None:
    """A seeded request whose prefill is split kills the engine: "CPU Generator does not use offset".

    vLLM samples at the end of every prefill chunk, throws the token away and rewinds the request's random
    generator, with a call only CUDA generators have. Here the generators of such requests step aside for that
    one call, so that nothing is drawn from them and there is nothing to rewind.
    """
    from vllm.v1.worker.cpu_model_runner import CPUModelRunner

    sample_tokens = CPUModelRunner.sample_tokens

    def sample_tokens_sparing_generators(
        self: CPUModelRunner, grammar_output: GrammarOutput | None
    ) -> ModelRunnerOutput | None:
        batch = self.input_batch
        discarded = self.discard_request_mask.np[: batch.num_reqs].nonzero()[0].tolist()
        aside = {index: batch.generators.pop(index) for index in discarded if index in batch.generators}
        try:
            return sample_tokens(self, grammar_output)
        finally:
            batch.generators.update(aside)

    if sample_tokens.__name__ != sample_tokens_sparing_generators.__name__:
        CPUModelRunner.sample_tokens = sample_tokens_sparing_generators
