"""From the engine's completions to what is stored and posted: output file, receipt, body digest."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.base import Completion
from protocol.batchfile import OutputEntry, OutputFile, write_output
from protocol.digest import JsonValue, canonical_json
from protocol.domain import Domain
from protocol.receipt import Body, body_digest, document_bytes, table_digest
from worker.database import Result
from worker.inputs import CheckedInput
from worker.kept import Resumption
from worker.models import ServedModel
from worker.run import Run


@dataclass(frozen=True, slots=True)
class Generated:
    """All completions of one task, by the prompt's place in its input. Times are unix seconds.

    A task that was taken up again began when it began the first time.
    """

    task_id: bytes
    checked: CheckedInput
    model: ServedModel
    run: Run
    completions: Mapping[int, Completion]
    started_at: float
    finished_at: float
    resumed: tuple[Resumption, ...] = ()


def result_of(generated: Generated, domain: Domain, worker: str) -> Result:
    """What will be stored and posted."""
    output = OutputFile(tuple(_entry(generated, place) for place in range(len(generated.checked.prompts))))
    run, table = generated.run, output.table()
    body = Body(
        task_id=generated.task_id,
        worker=worker,
        output_root=output.root(),
        table_digest=table_digest(table),
        engine_digest=run.engine_digest,
        strategy_digest=run.selection_digest,
        prompt_tokens=output.prompt_tokens(),
        started_at_ms=int(generated.started_at * 1000),
        finished_at_ms=int(generated.finished_at * 1000),
    )
    tokens = output.output_tokens()
    return Result(
        task_id=generated.task_id,
        body=body_digest(domain, body),
        output_tokens=tokens,
        prompt_tokens=body.prompt_tokens,
        prompts=len(output.entries),
        strategy=run.strategy,
        why=_why(generated),
        started_ms=body.started_at_ms,
        finished_ms=body.finished_at_ms,
        output=write_output(output.entries),
        receipt=document_bytes(
            domain,
            body,
            tokens,
            table,
            engine=run.engine,
            selection=run.selection,
            timings=canonical_json(_timings(generated)),
        ),
    )


def _why(generated: Generated) -> str:
    why = generated.run.why
    if generated.resumed:
        last = generated.resumed[-1]
        why += f"; taken up again with {last.prompts} prompts finished and {last.tokens} tokens"
    return why


def _entry(generated: Generated, place: int) -> OutputEntry:
    prompt = generated.checked.prompts[place]
    completion = generated.completions.get(place)
    error = prompt.error if completion is None else completion.error
    if completion is None or error is not None:
        return OutputEntry(
            prompt.custom_id, "", (), "error", 0, error=error or "not generated", is_chat=prompt.is_chat
        )
    return OutputEntry(
        custom_id=prompt.custom_id,
        text=generated.model.tokenizer.decode(completion.token_ids),
        token_ids=completion.token_ids,
        finish_reason=completion.finish_reason,
        prompt_tokens=completion.prompt_tokens,
        is_chat=prompt.is_chat,
    )


def _timings(generated: Generated) -> dict[str, JsonValue]:
    """For measurement only: seconds from the task's start to each prompt's first token and end."""
    start = generated.started_at
    resumed: dict[str, JsonValue] = {
        "resumed": [
            {"secs": round(each.at - start, 6), "finished_prompts": each.prompts, "tokens": each.tokens}
            for each in generated.resumed
        ]
    }
    return {
        "secs": round(generated.finished_at - start, 6),
        "first_token_secs": [
            None if item is None or item.first_token_at is None else round(item.first_token_at - start, 6)
            for item in _in_order(generated)
        ],
        "finished_secs": [
            None if item is None else round(item.finished_at - start, 6) for item in _in_order(generated)
        ],
        "engine_start_secs": round(generated.run.start_secs, 3),
        **(resumed if generated.resumed else {}),
    }


def _in_order(generated: Generated) -> list[Completion | None]:
    return [generated.completions.get(place) for place in range(len(generated.checked.prompts))]
