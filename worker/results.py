"""From the engine's completions to what is stored and posted: output file, receipt, body digest."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine.base import Completion, EngineFacts
from metainf import Choice
from protocol.batchfile import OutputEntry, OutputFile, write_output
from protocol.digest import JsonValue, canonical_json, sha256
from protocol.domain import Domain
from protocol.receipt import Body, ReceiptDocument, body_digest, table_digest
from worker.database import Result
from worker.inputs import CheckedInput
from worker.models import ServedModel


@dataclass(frozen=True, slots=True)
class Run:
    """How a group of tasks was run, the same in all their receipts: `selection` and `engine` as canonical JSON."""

    choice: Choice
    facts: EngineFacts
    selection: bytes
    selection_digest: bytes
    engine: bytes
    engine_digest: bytes

    @staticmethod
    def of(choice: Choice, facts: EngineFacts) -> "Run":
        selection, engine = canonical_json(choice.record.to_json()), canonical_json(facts.digestible())
        return Run(choice, facts, selection, sha256(selection), engine, sha256(engine))


@dataclass(frozen=True, slots=True)
class Generated:
    """All completions of one task, by the prompt's place in its input. Times are unix seconds."""

    task_id: bytes
    checked: CheckedInput
    model: ServedModel
    run: Run
    completions: Mapping[int, Completion]
    started_at: float
    finished_at: float


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
    document = ReceiptDocument(
        domain=domain,
        body=body,
        output_tokens=output.output_tokens(),
        table=table,
        engine={},
        selection={},
        timings=_timings(generated),
    )
    return Result(
        task_id=generated.task_id,
        body=body_digest(domain, body),
        output_tokens=document.output_tokens,
        prompt_tokens=body.prompt_tokens,
        prompts=len(output.entries),
        strategy=run.choice.strategy.name,
        why=run.choice.reason,
        started_ms=body.started_at_ms,
        finished_ms=body.finished_at_ms,
        output=write_output(output.entries),
        receipt=_with_run(document.encoded(), run),
    )


def _with_run(document: bytes, run: Run) -> bytes:
    """The document's canonical bytes with what its group shares put in: encoding that anew for each task would cost
    more than everything else.
    """
    for name, value in ((b"engine", run.engine), (b"selection", run.selection)):
        document = document.replace(b'"%s":{}' % name, b'"%s":%s' % (name, value), 1)
    return document


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
    return {
        "secs": round(generated.finished_at - start, 6),
        "first_token_secs": [
            None if item is None or item.first_token_at is None else round(item.first_token_at - start, 6)
            for item in _in_order(generated)
        ],
        "finished_secs": [
            None if item is None else round(item.finished_at - start, 6) for item in _in_order(generated)
        ],
        "engine_start_secs": round(generated.run.facts.start_secs, 3),
    }


def _in_order(generated: Generated) -> list[Completion | None]:
    return [generated.completions.get(place) for place in range(len(generated.checked.prompts))]
