"""`quern tasks`, `quern watch`, `quern result`."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, options
from quern.console import note, say, say_json, say_table
from quern.show import answer_json, say_answer

if TYPE_CHECKING:
    from protocol.currency import Currency
    from protocol.digest import JsonValue
    from wallet.answer import Answer
    from wallet.desk import Desk
    from wallet.tasks import TaskStatus

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="Id of the task, or its beginning.")]


class Format(StrEnum):
    """How `quern result` prints: the texts, one JSON document, or the OpenAI Batch output file as stored."""

    TEXT = "text"
    JSON = "json"
    BATCH = "batch"


def tasks(
    wallet: options.Wallet = None,
    everyone: Annotated[bool, typer.Option("--all", help="Those of every requester.")] = False,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """List the tasks of a wallet, oldest first."""
    address = None if everyone else connect.keystore().choose(wallet).address
    desk = connect.desk(deployment, rpc)
    found = desk.tasks(address)
    if as_json:
        say_json([each.to_json() for each in found])
    elif found:
        say_table(
            (
                "TASK",
                "STATE",
                "OUTPUT TOKENS",
                f"PAID ({desk.currency.symbol})",
                f"LOCKED ({desk.currency.symbol})",
            ),
            [_row(each, desk.currency) for each in found],
        )
    else:
        say("No task yet. Ask something with: quern submit 'What is 2 + 2?'")


def watch(
    task: TaskArgument,
    to_the_end: Annotated[
        bool, typer.Option("--to-the-end", help="Until money has moved, not only until the answer is posted.")
    ] = False,
    timeout_secs: Annotated[float | None, typer.Option(help="Stop waiting after so long.")] = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """Follow one task until its answer is there; `--json` prints its last state."""
    desk = connect.desk(deployment, rpc)
    last = _follow(desk, task_id_of(desk, task), timeout_secs, to_the_end=to_the_end)
    if as_json:
        say_json(last.to_json())


def result(
    task: TaskArgument,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TEXT,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this new file.")] = None,
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Show it even if it is not what was posted on chain.")
    ] = False,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Fetch an answer and check it against the chain."""
    from wallet.answer import require_genuine

    desk = connect.desk(deployment, rpc)
    answer = connect.answer(desk, task_id_of(desk, task), store)
    if not unverified:
        require_genuine(answer)
    _print(answer, Format.JSON if as_json else form, output)


def wait_and_show(
    desk: "Desk",
    task: bytes,
    store: str | None,
    timeout_secs: float | None,
    sent: "dict[str, JsonValue] | None",
) -> None:
    """What `quern submit --wait` does once the task is sent; `sent` is printed with the answer as JSON."""
    from protocol.digest import to_hex
    from wallet.answer import require_genuine

    try:
        _follow(desk, task, timeout_secs, to_the_end=False)
    except KeyboardInterrupt:
        note(f"The task goes on. See it with: quern watch {to_hex(task)}")
        raise
    answer = connect.answer(desk, task, store)
    require_genuine(answer)
    if sent is None:
        say_answer(answer)
    else:
        say_json({**sent, **answer_json(answer)})


def _follow(desk: "Desk", task: bytes, timeout_secs: float | None, *, to_the_end: bool) -> "TaskStatus":
    from wallet.watch import watch as follow

    last: TaskStatus | None = None
    for last in follow(desk, task, to_the_end=to_the_end, timeout_secs=timeout_secs):
        note(_line(last, desk.currency))
    assert last is not None
    return last


def _line(shown: "TaskStatus", currency: "Currency") -> str:
    task = shown.task
    parts = [shown.words()]
    if task.worker:
        parts.append(f"worker {task.worker}")
    elif task.replicated and task.winners:
        parts.append(f"workers {', '.join(task.winners)}")
    if task.posted_at:
        secs = task.posted_at - task.submitted_at
        parts.append(f"{task.output_tokens} output tokens, {secs} s from submit to posted")
    if shown.is_over:
        paid, refunded = currency.show(task.paid_units), currency.show(task.refunded_units)
        parts.append(f"paid {paid}, refunded {refunded}")
    return "; ".join(parts)


def _row(shown: "TaskStatus", currency: "Currency") -> Sequence[str]:
    from protocol.digest import to_hex

    task = shown.task
    tokens = f"{task.output_tokens} of {task.request.max_output_tokens} at most"
    return (
        to_hex(task.task_id)[:18],
        shown.words(),
        tokens,
        currency.coins(task.paid_units),
        currency.coins(shown.locked_units),
    )


def task_id_of(desk: "Desk", text: str) -> bytes:
    """The one task of the market that an id or its beginning names. Raises AmbiguousTask."""
    from wallet.journal import parse_task_id

    return parse_task_id(text, tuple(desk.read().market.tasks))


def _print(answer: "Answer", form: Format, output: Path | None) -> None:
    import json

    from protocol.batchfile import write_output

    if output is None and form is Format.TEXT:
        say_answer(answer)
    elif output is None and form is Format.JSON:
        say_json(answer_json(answer))
    else:
        texts = "".join(f"{entry.text}\n" for entry in answer.output.entries)
        content = {
            Format.TEXT: texts,
            Format.JSON: json.dumps(answer_json(answer), indent=2) + "\n",
            Format.BATCH: write_output(answer.output.entries).decode(),
        }[form]
        if output is None:
            say(content.rstrip("\n"))
        else:
            with output.open("x", encoding="utf-8") as file:
                file.write(content)
            note(f"Wrote {output}")
