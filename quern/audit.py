"""`quern audit`: one past task, or all that a worker ever did."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from quern import connect, options
from quern.console import note, say, say_json
from quern.context import home
from quern.follow import TaskArgument

if TYPE_CHECKING:
    from chain.store import ContentStore
    from wallet.view import Snapshot


class Checker(StrEnum):
    """What feeds the output back as a prompt in step 7."""

    VLLM = "vllm"
    TRANSFORMERS = "transformers"
    NONE = "none"


_ENGINES: dict[Checker, Literal["vllm", "transformers"] | None] = {
    Checker.VLLM: "vllm",
    Checker.TRANSFORMERS: "transformers",
    Checker.NONE: None,
}


class TaskByDefault(TyperGroup):
    """`quern audit TASK` is short for `quern audit task TASK`."""

    def parse_args(self, ctx: Any, args: Sequence[str]) -> Any:
        words = list(args)
        if words and words[0] not in (*self.commands, *ctx.help_option_names):
            words.insert(0, "task")
        return super().parse_args(ctx, words)


app = typer.Typer(
    cls=TaskByDefault,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Check past work from the chain and the store: a task's, as 'quern audit TASK', or a worker's.",
)


@app.command()
def task(
    task: TaskArgument,
    engine: Annotated[
        Checker, typer.Option("--engine", help="What checks the tokens (step 7); none leaves it out.")
    ] = Checker.TRANSFORMERS,
    model_dir: Annotated[
        Path | None, typer.Option(help="Own copy of the model; by default the registered one.")
    ] = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Check one task step by step: 0 if every step holds, 3 if one lacks something.

    A failed step N gives the exit status 10 + N. Nothing that comes from the store is ever executed.
    """
    from auditor.app import audit as check
    from wallet.journal import parse_task_id
    from wallet.models import ModelList

    desk = connect.desk(deployment, rpc)
    snapshot = desk.read()
    task_id = parse_task_id(task, tuple(snapshot.market.tasks))
    model = ModelList(home().models).of(snapshot.task(task_id).request.model_id)
    report = check(
        task_id,
        desk.rpc,
        desk.deployment,
        _store(store, snapshot, task_id),
        _ENGINES[engine],
        model_dir if model is None or model_dir is not None else model.path,
    )
    if as_json:
        say_json(report.to_json())
    else:
        say(report.to_text())
    if report.exit_status:
        raise typer.Exit(report.exit_status)


@app.command()
def worker(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="The worker's address.")],
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report as a page to this new file.")
    ] = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Report on a worker: leases and how they ended, inversions, money, speeds against prediction.

    All but the speeds follows from the chain alone; those stand in receipts, by the worker's word.
    """
    from auditor.worker_report import audit_worker
    from protocol.abi import parse_address

    who = parse_address("worker", address)
    desk = connect.desk(deployment, rpc)
    content = connect.store(store, read_only=True) if store is not None or home().store.is_dir() else None
    report = audit_worker(who, desk.rpc, desk.deployment, content)
    if html is not None:
        with html.open("x", encoding="utf-8") as file:
            file.write(report.to_html())
        note(f"Wrote {html}")
    if as_json:
        say_json(report.to_json())
    else:
        say(report.to_text())


def _store(url: str | None, snapshot: "Snapshot", task_id: bytes) -> "ContentStore | None":
    """The one named, else that of this machine, else what the worker announced."""
    from wallet.fetch import announced_stores

    if url is not None or home().store.is_dir():
        return connect.store(url, read_only=True)
    authors = [snapshot.task(task_id).worker, *snapshot.task(task_id).winners]
    announced = (place for author in authors for place in announced_stores(snapshot.stores.get(author)))
    return next(announced, None)
