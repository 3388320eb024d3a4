"""`quern audit`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from quern import connect, options
from quern.console import say, say_json
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


def audit(
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
    """Check a past task from the chain and the store: 0 if every step holds, 3 if one lacks something.

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


def _store(url: str | None, snapshot: "Snapshot", task_id: bytes) -> "ContentStore | None":
    """The one named, else that of this machine, else what the worker announced."""
    from wallet.fetch import announced_stores

    if url is not None or home().store.is_dir():
        return connect.store(url, read_only=True)
    return next(iter(announced_stores(snapshot.stores.get(snapshot.task(task_id).worker))), None)
