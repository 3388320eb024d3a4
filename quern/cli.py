"""`quern`: names the commands, loads the one asked for, turns errors into one line and an exit status.

Exit statuses: 0 done; 2 the caller must change something; 3 not now, try again; 1 a defect of ours.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

DEFECT_STATUS = 1
BAD_INPUT_STATUS = 2
DEBUG_VARIABLE = "QUERN_DEBUG"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name under `quern`: where its typer app or function lives, and the line `quern --help` shows."""

    name: str
    module: str
    attribute: str
    summary: str


ENTRIES = (
    Entry("devnet", "quern.devnet", "app", "Start, stop and look at the local Ethereum devnet."),
    Entry("deploy", "quern.deploy", "deploy", "Put the contracts on a chain of your own."),
    Entry("model", "quern.model", "app", "Add models to this machine and announce them on chain."),
    Entry("wallet", "quern.keys", "app", "Make, import and list encrypted wallets."),
    Entry("quote", "quern.ask", "quote", "Say what an answer would cost and how long it would take."),
    Entry("submit", "quern.ask", "submit", "Send prompts to the market and pay for the answers."),
    Entry("tasks", "quern.follow", "tasks", "List the tasks of a wallet."),
    Entry("watch", "quern.follow", "watch", "Follow one task until its answer is there."),
    Entry("result", "quern.follow", "result", "Fetch an answer and check it against the chain."),
    Entry("cancel", "quern.change", "cancel", "Take back a task that nobody serves."),
    Entry("tip", "quern.change", "tip", "Raise the tip of an open task, so that it is served earlier."),
    Entry("relay", "quern.relay", "relay", "Send requests that others have signed, all in one transaction."),
    Entry("revoke", "quern.change", "revoke", "Call off a request that was signed and not sent, for ever."),
    Entry("demand", "quern.dispute", "demand", "Make the worker show 32 tokens of its output on chain."),
    Entry("challenge", "quern.dispute", "challenge", "Call the arbiter on a posted result, for a bond."),
    Entry("panel", "quern.panel", "app", "Vote on disputes as a member of the arbiter's panel."),
    Entry("money", "quern.money", "app", "Show, deposit and withdraw a wallet's money."),
    Entry("worker", "quern.worker", "app", "Run a worker that serves tasks and earns."),
    Entry("audit", "quern.audit", "app", "Check past work from the chain and the store."),
    Entry("metainf", "quern.metainf", "app", "Measure strategies, train and judge the meta-model."),
    Entry("version", "quern.version", "version", "Print the version, the chain and the deployed code."),
)


def load(entry: Entry) -> TyperCommand | TyperGroup:
    """The real command of an entry; imports its module."""
    target = getattr(importlib.import_module(entry.module), entry.attribute)
    if not isinstance(target, typer.Typer):
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(entry.name)(target)
        target = single
    command = get_command(target)
    command.name = entry.name
    assert isinstance(command, TyperCommand | TyperGroup)
    return command


class LazyGroup(TyperGroup):
    """Lists the entries by their summaries and imports only the one that runs."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for entry in ENTRIES:
            self.add_command(TyperCommand(entry.name, help=entry.summary))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        entry = next((entry for entry in ENTRIES if entry.name == name), None)
        return name, None if entry is None else load(entry), rest


app = typer.Typer(
    cls=LazyGroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root() -> None:
    """A market for LLM inference: ask and pay, serve and earn, check every answer from the chain."""


def report_and_leave(error: Exception) -> NoReturn:
    """Print an error as one line on stderr, with its traceback when QUERN_DEBUG is set, and exit."""
    from quern.console import complain

    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    # Every room's own errors carry the status to leave with; the engine room shares no class with the others.
    status = getattr(error, "exit_status", None)
    if isinstance(status, int):
        complain(str(error))
        sys.exit(status)
    if isinstance(error, OSError) and error.filename is not None:
        complain(f"{error.filename}: {error.strerror}")
        sys.exit(BAD_INPUT_STATUS)
    complain(f"defect: {type(error).__name__}: {error} (set {DEBUG_VARIABLE}=1 for the traceback)")
    sys.exit(DEFECT_STATUS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line; always ends with SystemExit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that cannot show a character gets its escape, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    command = get_command(app)
    try:
        command(args=arguments, prog_name="quern")
    except Exception as error:  # noqa: BLE001 - the one place where every error becomes a line and a status
        report_and_leave(error)
