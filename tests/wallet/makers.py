"""Tasks, markets and posted answers, made as the protocol makes them."""

from dataclasses import replace
from typing import Any

from protocol.batchfile import OutputEntry, OutputFile, write_output
from protocol.domain import Domain
from protocol.lifecycle import TaskState, TaskView
from protocol.merkle import batch_root
from protocol.receipt import Receipt, ReceiptDocument, leaf
from protocol.replay import MarketView, Totals
from protocol.request import Request
from tests.honest import receipt_of

MODEL = b"m" * 32
NOW = 10_000
DOMAIN = Domain(31337, "0x" + "00" * 19 + "01")
REQUESTER = "0x" + "00" * 19 + "0A"
WORKER = "0x" + "00" * 19 + "0b"


def task(number: int, state: TaskState = TaskState.OPEN, **fields: Any) -> TaskView:
    """A task submitted 100 s ago; request fields and view fields may be given by name."""
    replicas = fields.pop("replicas", 1)
    request = Request(
        requester=fields.pop("requester", REQUESTER),
        salt=bytes(32),
        model_id=fields.pop("model_id", MODEL),
        input_digest=bytes(32),
        params_digest=bytes(32),
        max_fee_units=fields.pop("max_fee_units", 300_000),
        flat_percent=fields.pop("flat_percent", 50),
        tip_units=fields.pop("tip_units", 0),
        max_output_tokens=fields.pop("max_output_tokens", 100),
        bond_units=1,
        deadline=fields.pop("deadline", NOW + 1_000),
        lease_secs=60,
        input_uri="inputs/x",
        replicas=replicas,
        equivalence=bytes([replicas]) * 32 if replicas > 1 else bytes(32),
    )
    view = TaskView(bytes([number]) * 32, request, state, request.tip_units, NOW - 100, NOW - 100)
    return replace(view, **fields)


def market(*tasks: TaskView) -> MarketView:
    return MarketView({view.task_id: view for view in tasks}, {}, {}, {}, {}, Totals(*[0] * 8))


def document(task_id: bytes, output: OutputFile) -> ReceiptDocument:
    """The receipt an honest worker stores for an output."""
    return receipt_of(output, DOMAIN, task_id, WORKER, {"engine": "fake"}, {"chosen": "vllm-default"})


def posted(*entries: OutputEntry) -> tuple[TaskView, tuple[Receipt, ...], bytes, bytes]:
    """(task, receipts of its batch, stored output, stored receipt) of one honestly answered task."""
    output = OutputFile(entries)
    made = document(bytes([7]) * 32, output)
    neighbour = Receipt(bytes([8]) * 32, bytes([9]) * 32, 3)
    batch = (neighbour, made.receipt())
    view = task(
        7,
        TaskState.POSTED,
        worker=WORKER,
        claimed_at=NOW - 50,
        posted_at=NOW - 10,
        until=NOW + 5,
        root=batch_root([leaf(receipt) for receipt in batch]),
        body=made.receipt().body,
        output_tokens=made.output_tokens,
    )
    return view, batch, write_output(entries), made.encoded()
