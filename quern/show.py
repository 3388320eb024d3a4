"""How an answer looks: as text, as JSON, as the OpenAI Batch output file it is stored as."""

from typing import TYPE_CHECKING

from quern.console import note, say

if TYPE_CHECKING:
    from protocol.digest import JsonValue
    from wallet.answer import Answer


def answer_json(answer: "Answer") -> "dict[str, JsonValue]":
    """Answers with what was checked about them."""
    from protocol.digest import to_hex

    body = answer.document.body
    return {
        "task": to_hex(answer.task.task_id),
        "verified": not answer.failed,
        "checks": [
            {"name": check.name, "passed": check.passed, "detail": check.detail} for check in answer.checks
        ],
        "worker": answer.task.worker,
        "engine": answer.document.engine,
        "prompt_tokens": body.prompt_tokens,
        "output_tokens": answer.task.output_tokens,
        "answers": [
            {
                "custom_id": entry.custom_id,
                "text": entry.text,
                "finish_reason": entry.finish_reason,
                "prompt_tokens": entry.prompt_tokens,
                "output_tokens": len(entry.token_ids),
                "error": entry.error,
            }
            for entry in answer.output.entries
        ],
    }


def say_answer(answer: "Answer") -> None:
    """Texts on standard output; what a reader must know about them on standard error."""
    for check in answer.checks:
        if check.passed is False:
            note(f"NOT VERIFIED, {check.name}: it does not hold that {check.detail}")
        elif check.passed is None:
            note(f"Not checked, {check.name}: {check.detail}")
    single = len(answer.output.entries) == 1
    for entry in answer.output.entries:
        text = f"(not served: {entry.error})" if entry.error is not None else entry.text
        say(text if single else f"{entry.custom_id}: {text}")
