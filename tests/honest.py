"""What an honest worker makes of an output, for tests that serve a task by hand."""

from collections.abc import Mapping

from protocol.batchfile import OutputFile
from protocol.digest import JsonValue, json_digest
from protocol.domain import Domain
from protocol.receipt import Body, ReceiptDocument, table_digest


def receipt_of(
    output: OutputFile,
    domain: Domain,
    task_id: bytes,
    worker: str,
    engine: Mapping[str, JsonValue],
    selection: Mapping[str, JsonValue],
) -> ReceiptDocument:
    """The receipt document whose every digest is that of what it holds."""
    body = Body(
        task_id=task_id,
        worker=worker,
        output_root=output.root(),
        table_digest=table_digest(output.table()),
        engine_digest=json_digest(engine),
        strategy_digest=json_digest(selection),
        prompt_tokens=output.prompt_tokens(),
        started_at_ms=1,
        finished_at_ms=2,
    )
    return ReceiptDocument(domain, body, output.output_tokens(), output.table(), engine, selection, {})
