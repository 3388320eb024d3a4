"""Training: one pass over an endless stream of generated cases, resumable at any step.

Hidden matrices are trained by Muon (Jordan et al. 2024), embeddings and norms by AdamW; the learning rate
warms up, stays, and decays linearly to nothing over the last 40 % of the steps.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from .data import Batch, Batches, RecallShape
from .headstart import give_head_start
from .tasks import Task
from .tokenizer import END, PAD

CONTEXT_TOKENS = 2048

RECALL_LEVELS = (
    RecallShape(rows=12, min_pairs=2, max_pairs=6, questions=8, plain_questions=1),
    RecallShape(rows=10, min_pairs=3, max_pairs=16, questions=12, plain_questions=1),
    RecallShape(rows=8, min_pairs=6, max_pairs=40, questions=16, plain_questions=1),
    RecallShape(rows=5, min_pairs=8, max_pairs=128, questions=24, plain_questions=24),
)
"""Short tables first: recall starts as induction over a few lines and stretches once that works. Bare tables wait:
asked as often as in chat from the start, they stay wrong and hold the level down."""

STORY_DAYS = ((3, 4), (3, 6), (3, 10), (3, 10))
"""Story lengths that go with each recall level."""

LEVEL_UP_ACCURACY = 0.9
MASTERED_ACCURACY = 0.95


@dataclass(frozen=True)
class Plan:
    steps: int
    seed: int = 7
    peak_rate: float = 3e-3
    early_embedding_rate_share: float = 0.3
    warmup_steps: int = 50
    decay_share: float = 0.4
    arithmetic_rows: int = 160
    sorting_rows: int = 64
    story_rows: int = 4
    story_every: int = 2
    mastered_recall_every: int = 2
    save_every: int = 50

    def rate_at(self, step: int) -> float:
        decay_steps = self.steps * self.decay_share
        return self.peak_rate * min(1.0, (step + 1) / self.warmup_steps, (self.steps - step) / decay_steps)


@dataclass
class Progress:
    """What a checkpoint keeps beside weights and optimizer state; running means are over training data."""

    step: int = 0
    level: int = 0
    accuracy: dict[str, float] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)

    def has_mastered_recall(self) -> bool:
        return self.level == len(RECALL_LEVELS) - 1 and self.accuracy[Task.RECALL] > MASTERED_ACCURACY

    def record(self, task: Task, loss: float, accuracy: float) -> None:
        for means, value in ((self.loss, loss), (self.accuracy, accuracy)):
            means[task.value] = 0.95 * means.get(task.value, value) + 0.05 * value


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        head_dim=64,
        max_position_embeddings=CONTEXT_TOKENS,
        attention_bias=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    )
    model = LlamaForCausalLM(config)
    torch.nn.init.normal_(model.model.embed_tokens.weight, std=0.05)
    give_head_start(model)
    return model


class Trainer:
    def __init__(self, plan: Plan, tokenizer: PreTrainedTokenizerFast, checkpoint: Path) -> None:
        self.plan = plan
        self.tokenizer = tokenizer
        self.model = new_model(tokenizer, plan.seed)
        self.progress = Progress()
        self._checkpoint = checkpoint
        hidden = [p for name, p in self.model.named_parameters() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in self.model.named_parameters() if p.ndim != 2 or "embed" in name]
        self._optimizers = (
            torch.optim.Muon(hidden, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, weight_decay=0.0, betas=(0.9, 0.98)),
        )
        if checkpoint.exists():
            self._restore()

    def run(self, log: Path) -> None:
        started = time.monotonic()
        while self.progress.step < self.plan.steps:
            self._step()
            self.progress.step += 1
            if self.progress.step % self.plan.save_every == 0 or self.progress.step == self.plan.steps:
                self._save()
                line = {"seconds": round(time.monotonic() - started), **vars(self.progress)}
                with log.open("a") as out:
                    out.write(json.dumps(line) + "\n")

    def _step(self) -> None:
        rate = self.plan.rate_at(self.progress.step)
        # Embeddings that move fast wear the head start away before recall has grown out of it.
        grown = self.progress.level == len(RECALL_LEVELS) - 1
        embedding_share = 1.0 if grown else self.plan.early_embedding_rate_share
        for optimizer, share in zip(self._optimizers, (1.0, embedding_share), strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
        for task, batch in self._batches():
            self._accumulate(task, batch)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if (
            self.progress.accuracy[Task.RECALL] > LEVEL_UP_ACCURACY
            and self.progress.level < len(RECALL_LEVELS) - 1
        ):
            self.progress.level += 1
            self.progress.accuracy[Task.RECALL.value] = 0.0

    def _batches(self) -> list[tuple[Task, Batch]]:
        plan, step, level = self.plan, self.progress.step, self.progress.level
        source = Batches(self.tokenizer, seed=plan.seed * 1_000_003 + step)
        easier = max(level - 1, 0) if step % 3 == 2 else level
        batches = [
            (Task.ARITHMETIC, source.short(Task.ARITHMETIC, plan.arithmetic_rows)),
            (Task.SORTING, source.short(Task.SORTING, plan.sorting_rows)),
        ]
        if not self.progress.has_mastered_recall() or step % plan.mastered_recall_every == 0:
            batches.append((Task.RECALL, source.recall(RECALL_LEVELS[easier])))
        if step % plan.story_every == 0:
            batches.append((Task.STORY, source.stories(plan.story_rows, *STORY_DAYS[level])))
        return batches

    def _accumulate(self, task: Task, batch: Batch) -> None:
        hidden = self.model.model(input_ids=batch.ids[:, :-1], use_cache=False).last_hidden_state
        weights = batch.weights[:, 1:]
        wanted = weights > 0
        targets = batch.ids[:, 1:][wanted]
        logits = self.model.lm_head(hidden[wanted])
        loss = (cross_entropy(logits, targets, reduction="none") * weights[wanted]).mean()
        torch.autograd.backward(loss)
        hits = (logits.detach().argmax(-1) == targets).float()
        if task is Task.RECALL:
            hits = hits[targets != self.model.config.eos_token_id]
        self.progress.record(task, loss.item(), hits.mean().item())

    def _save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "progress": vars(self.progress),
        }
        scratch = self._checkpoint.with_suffix(".new")
        torch.save(state, scratch)
        scratch.replace(self._checkpoint)

    def _restore(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.progress = Progress(**state["progress"])


def export(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Write `directory` in Hugging Face's layout, weights as fp32 safetensors."""
    generation = model.generation_config
    generation.eos_token_id = tokenizer.convert_tokens_to_ids(END)
    generation.pad_token_id = tokenizer.convert_tokens_to_ids(PAD)
    generation.do_sample = False
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory, save_jinja_files=False)
