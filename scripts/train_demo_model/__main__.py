"""`python -m scripts.train_demo_model train | evaluate`: make or measure the demo model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

MODEL_DIR = Path(__file__).resolve().parents[2] / "models" / "quern-demo"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.train_demo_model", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train from nothing, or go on from the checkpoint in --work")
    train.add_argument("--work", type=Path, required=True, help="folder for checkpoint.pt and log.jsonl")
    train.add_argument("--out", type=Path, default=MODEL_DIR, help="where the model is written")
    train.add_argument("--steps", type=int, default=2500)
    train.add_argument("--threads", type=int, default=2)
    evaluate = commands.add_parser("evaluate", help="held-out accuracy per task, as JSON on the last line")
    evaluate.add_argument("--model", type=Path, default=MODEL_DIR)
    evaluate.add_argument("--cases", type=int, default=200, help="held-out cases per task and table size")
    evaluate.add_argument("--seed", type=int, default=1)
    evaluate.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    # The CUDA builds of these on PyPI break the import of transformers beside a CPU build of torch.
    for module in ("torchvision", "torchaudio", "torchcodec"):
        sys.modules[module] = None  # type: ignore[assignment]
    import torch

    torch.set_num_threads(options.threads)
    if options.command == "train":
        from .tokenizer import build_tokenizer
        from .train import CONTEXT_TOKENS, Plan, Trainer, export

        options.work.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(
            Plan(options.steps), build_tokenizer(CONTEXT_TOKENS), options.work / "checkpoint.pt"
        )
        trainer.run(options.work / "log.jsonl")
        export(trainer.model, trainer.tokenizer, options.out)
    else:
        from .evaluate import accuracy_report

        print(json.dumps(accuracy_report(options.model, options.cases, options.seed)))


if __name__ == "__main__":
    main()
