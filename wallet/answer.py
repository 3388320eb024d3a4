"""An answer from the worker's store, held against what the chain says was posted and paid for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from protocol.batchfile import InputFile, OutputEntry, OutputFile, read_output
from protocol.digest import to_hex
from protocol.domain import Domain
from protocol.errors import BadInput, NotYet, QuernError
from protocol.lifecycle import RefundReason, Standing, TaskState, TaskView, derived_state
from protocol.merkle import batch_root
from protocol.receipt import BadReceipt, Receipt, ReceiptDocument, body_digest, leaf, verdict

_NOT_YET = {
    Standing.OPEN: "no worker has claimed it yet",
    Standing.LEASED: "a worker is at it",
    Standing.REVEALABLE: "its workers have committed to their results; the reveal is not open yet",
    Standing.REVEALING: "its workers are showing their results",
    Standing.CLOSABLE: "its workers have shown their results, which nobody has counted yet",
    Standing.LAPSED: "its worker let the lease lapse; another may claim it",
    Standing.REVEALABLE: "enough replicas have committed; anybody may open the reveal",
    Standing.REVEALING: "its replicas reveal what they committed to",
    Standing.CLOSABLE: "its replicas have revealed; anybody may count them",
}
_REFUNDED: dict[int, str] = {
    RefundReason.NO_QUORUM: "its replicas did not agree",
    RefundReason.UNANSWERED: "its worker left a demand unanswered",
    RefundReason.FAULTY: "the arbiter found its answer faulty",
}


class NoAnswerYet(NotYet):
    """The task is not posted; it may still be."""

    def __init__(self, task: bytes, reason: str) -> None:
        super().__init__("RESULT-001", "task", task, f"{reason}; try again later or use 'quern watch'")


class NoAnswerEver(BadInput):
    """The task ended, or will end, without an answer."""

    def __init__(self, task: bytes, reason: str) -> None:
        super().__init__("RESULT-002", "task", task, reason)


class AnswerNotGenuine(BadInput):
    """What the store holds is not what was posted on chain."""

    def __init__(self, task: bytes, failed: Sequence[str]) -> None:
        super().__init__(
            "RESULT-003",
            "answer",
            task,
            f"not shown: these checks failed: {', '.join(failed)}; --unverified shows it all the same",
        )


@dataclass(frozen=True, slots=True)
class Check:
    """One comparison; `passed` is None where something needed for it was not at hand."""

    name: str
    passed: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The entries in input order and what was checked about them."""

    task: TaskView
    output: OutputFile
    document: ReceiptDocument
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        return tuple(check.name for check in self.checks if check.passed is False)

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(check.name for check in self.checks if check.passed is None)


def require_posted(task: TaskView, now: int) -> None:
    """Raises NoAnswerYet or NoAnswerEver unless a result is posted."""
    if task.state in (TaskState.POSTED, TaskState.DISPUTED, TaskState.SETTLED):
        return
    standing = derived_state(task, now)
    if standing is Standing.EXPIRED:
        raise NoAnswerEver(task.task_id, "nobody answered by its deadline; 'quern cancel' returns the money")
    if standing is Standing.REFUNDED:
        reason = _REFUNDED.get(task.refund_reason, "nobody answered it")
        raise NoAnswerEver(task.task_id, f"it was refunded, {reason}; submit it again")
    raise NoAnswerYet(task.task_id, _NOT_YET[standing])


def read_answer(
    domain: Domain,
    task: TaskView,
    batch: Sequence[Receipt],
    output_data: bytes,
    receipt_data: bytes,
    asked: InputFile | None = None,
    decode: Callable[[Sequence[int]], str] | None = None,
) -> Answer:
    """Check stored bytes of a posted task. `batch` are the receipts posted under `task.root`, in order.

    `asked` (the input, checked against its digest) and `decode` (the model's tokenizer) are for the last two
    checks. Raises MalformedOutput, BadReceipt, MalformedJson for bytes that cannot be read at all.
    """
    output = read_output(output_data)
    document = ReceiptDocument.decode(receipt_data)
    checks = (
        *_posted_checks(domain, task, batch, document),
        _digests_check(document),
        _output_check(task, document, output),
        _ids_check(output, asked),
        _text_check(output, decode),
    )
    return Answer(task, output, document, checks)


def require_genuine(answer: Answer) -> None:
    """Raises AnswerNotGenuine if a check failed."""
    if answer.failed:
        raise AnswerNotGenuine(answer.task.task_id, answer.failed)


def _posted_checks(
    domain: Domain, task: TaskView, batch: Sequence[Receipt], document: ReceiptDocument
) -> tuple[Check, ...]:
    """What the chain says was posted: a leaf of a batch, or what the quorum of the replicas agreed on."""
    if task.replicated:
        return _quorum_check(task, document), _seat_check(domain, task, document)
    return _batch_check(task, batch), _receipt_check(domain, task, document)


def _quorum_check(task: TaskView, document: ReceiptDocument) -> Check:
    passed = verdict(document.body, document.output_tokens) == task.verdict
    said = f"{len(task.winners)} of {task.request.replicas} replicas agreed on these very tokens and lengths"
    return Check("quorum", passed, said)


def _seat_check(domain: Domain, task: TaskView, document: ReceiptDocument) -> Check:
    worker = document.body.worker
    seat = task.seat_of(worker)
    passed = (
        document.domain == domain
        and worker in task.winners
        and seat is not None
        and seat.body == body_digest(domain, document.body)
    )
    return Check("receipt", passed, f"the stored receipt hashes to the body revealed by {worker}")


def _batch_check(task: TaskView, batch: Sequence[Receipt]) -> Check:
    own = Receipt(task.task_id, task.body, task.output_tokens)
    passed = own in batch and batch_root([leaf(receipt) for receipt in batch]) == task.root
    return Check("batch", passed, f"the receipt is one of {len(batch)} under batch root {to_hex(task.root)}")


def _receipt_check(domain: Domain, task: TaskView, document: ReceiptDocument) -> Check:
    passed = (
        document.domain == domain
        and document.body.worker == task.worker
        and document.receipt() == Receipt(task.task_id, task.body, task.output_tokens)
    )
    return Check("receipt", passed, f"the stored receipt hashes to the body posted by {task.worker}")


def _digests_check(document: ReceiptDocument) -> Check:
    try:
        document.check()
    except BadReceipt as error:
        return Check("receipt digests", False, str(error))
    return Check("receipt digests", True, "lengths, engine and strategy hash to the digests in the body")


def _output_check(task: TaskView, document: ReceiptDocument, output: OutputFile) -> Check:
    passed = (
        output.root() == document.body.output_root
        and output.table() == document.table
        and output.prompt_tokens() == document.body.prompt_tokens
        and output.output_tokens() == task.output_tokens
    )
    return Check("output", passed, f"{output.output_tokens()} tokens hash to the output root in the body")


def _ids_check(output: OutputFile, asked: InputFile | None) -> Check:
    if asked is None:
        return Check("order", None, "the input is not at hand, so answers are matched by the worker's word")
    said = [entry.custom_id for entry in output.entries]
    passed = said == [prompt.custom_id for prompt in asked.prompts]
    return Check("order", passed, "answers stand in the order of the prompts")


def _text_check(output: OutputFile, decode: Callable[[Sequence[int]], str] | None) -> Check:
    if decode is None:
        return Check("text", None, "the model's tokenizer is not at hand, so the text is the worker's word")
    passed = all(_decodes(entry, decode) for entry in output.entries)
    return Check("text", passed, "the texts are what the tokens decode to")


def _decodes(entry: OutputEntry, decode: Callable[[Sequence[int]], str]) -> bool:
    try:
        return decode(entry.token_ids) == entry.text
    except (QuernError, ValueError, OverflowError):
        # A token id outside of the vocabulary decodes to nothing.
        return False
