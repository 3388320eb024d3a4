"""`quern worker`: a worker's whole life."""

import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quern import options
from quern.console import jsonable, note, say, say_json, say_table
from quern.context import home

if TYPE_CHECKING:
    from worker.config import WorkerConfig

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Run a worker that serves tasks and earns.",
)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="QUERN_WORKER_CONFIG",
        help="The worker's settings; by default worker/config.toml in home.",
    ),
]
PasswordOption = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        envvar="QUERN_KEYSTORE_PASSWORD_FILE",
        help="File with the keystore's password; or set QUERN_KEYSTORE_PASSWORD.",
    ),
]


class EngineKind(StrEnum):
    """`fake` computes nothing and says so in its receipts; it is for tests of the chain side."""

    VLLM = "vllm"
    FAKE = "fake"


@app.command()
def init(
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Where to write; by default worker in home.")
    ] = None,
    model: Annotated[
        list[Path] | None, typer.Option(help="Model directory; by default all of 'quern model list'.")
    ] = None,
    engine: Annotated[EngineKind, typer.Option(help="What generates tokens.")] = EngineKind.VLLM,
    key_file: Annotated[
        Path | None, typer.Option(help="File with a private key in hex; a new key by default.")
    ] = None,
    max_bond: Annotated[
        str | None, typer.Option(help="Largest bond to risk on one task, such as 0.01ether.")
    ] = None,
    password_file: PasswordOption = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Write settings and an encrypted key; says what the key can lose."""
    from chain.deployment import load
    from wallet.keystore import private_key
    from wallet.models import ModelList
    from worker.setup import init as write

    registered = [each.path for each in ModelList(home().models).all()]
    market = deployment or home().deployment
    made = write(
        folder or home().worker,
        deployment=market,
        store_url=store or home().store.as_uri(),
        models=model or registered,
        password=_password(password_file, is_new=True),
        rpc_url=rpc or "",
        key=None if key_file is None else private_key(key_file.read_text()),
        engine_kind=engine.value,
        max_bond_units=None if max_bond is None else load(market).currency.parse("max bond", max_bond),
    )
    if as_json:
        say_json({"config": str(made.config_path), "address": made.address, "warning": made.warning})
        return
    say(f"Wrote {made.config_path} and {made.keystore}")
    say(made.warning)
    say("Next:")
    say(f"  1. give {made.address} ether for gas (devnet: quern devnet fund {made.address})")
    say(f"  2. quern money deposit AMOUNT --for {made.address}")
    say("  3. quern worker doctor")
    say("  4. quern worker run")


@app.command()
def doctor(
    config: ConfigOption = None, password_file: PasswordOption = None, as_json: options.Json = False
) -> None:
    """Check everything a worker needs, one line each, with the fix."""
    from protocol.errors import QuernError
    from wallet.models import ModelList
    from worker.doctor import check

    settings = _config(config)
    try:
        password = _password(password_file)
    except QuernError:
        password = None
    registered = {model.path: model.model_id for model in ModelList(home().models).all()}
    checks = check(settings, password, registered)
    if as_json:
        say_json(
            [{"name": each.name, "ok": each.ok, "detail": each.detail, "fix": each.fix} for each in checks]
        )
    else:
        rows = [
            (
                "ok" if each.ok else "-" if each.waits_for else "NOT OK",
                each.name,
                each.detail + (f" -> {each.fix}" if each.fix else ""),
            )
            for each in checks
        ]
        say_table(("", "CHECK", "FOUND"), rows)
    if not all(each.ok for each in checks):
        raise typer.Exit(2)


@app.command()
def run(
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Log lines also where a terminal could show a live view.")
    ] = False,
) -> None:
    """Serve until stopped. Ctrl-C or SIGTERM finishes what is claimed, a second one stops at once."""
    from worker import garbage

    with garbage.left_alone():
        from rich.console import Console

        from worker.app import Worker
        from worker.screen import Screen

        settings, console = _config(config), Console()
        worker = Worker(settings, _password(password_file))
    if plain or not console.is_terminal:
        raise typer.Exit(worker.run())
    screen = Screen(settings, console)
    with screen.shown():
        ended = worker.run(screen)
    raise typer.Exit(ended)


@app.command()
def status(
    config: ConfigOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing until Ctrl-C.")] = False,
    as_json: options.Json = False,
) -> None:
    """Say what the worker does and what it earned."""
    from rich.console import Console
    from rich.live import Live

    from worker.report import status as look
    from worker.screen import render

    settings = _config(config)
    if as_json:
        say_json(jsonable(look(settings)))
    elif watch:
        with Live(render(look(settings)), refresh_per_second=2) as live:
            while True:
                time.sleep(0.5)
                live.update(render(look(settings)))
    else:
        Console(soft_wrap=True).print(render(look(settings)))


@app.command()
def why(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="Id of a task the worker has seen; its beginning will do.")
    ],
    config: ConfigOption = None,
    as_json: options.Json = False,
) -> None:
    """Print every decision about a task, with its code and reason."""
    from wallet.journal import parse_task_id
    from worker.report import known_tasks, standing
    from worker.report import why as decisions
    from worker.words import shown_moment

    settings = _config(config)
    task_id = parse_task_id(task, known_tasks(settings))
    found = decisions(settings, task_id)
    if as_json:
        say_json([{"at": each.at, "code": each.reason.code, "reason": each.reason.text} for each in found])
    else:
        for each in found:
            say(f"{shown_moment(each.at)}  {each.reason}")
        if not found:
            say(standing(settings, task_id))


@app.command()
def troubles(
    table: Annotated[
        Path | None,
        typer.Option(
            help="Also add them to this table of measurements (Parquet), which 'quern metainf train' reads."
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: options.Json = False,
) -> None:
    """List the failures of engines, and what was learned from success since."""
    from worker.report import troubles as known
    from worker.trouble import measurement_of
    from worker.words import shown_moment

    found = known(_config(config))
    if table is not None:
        from metainf.table import read_table, write_table

        before = read_table(table) if table.exists() else ()
        write_table([*before, *(row for row in map(measurement_of, found) if row not in before)], table)
    if as_json:
        fields = ("at", "strategy", "outcome", "problem", "tokens")
        rows = [{name: getattr(each, name) for name in fields} for each in found]
        say_json([{**row, "forgiven": bool(each.forgiven)} for row, each in zip(rows, found, strict=True)])
    elif not found:
        say("No engine has failed.")
    else:
        for each in found:
            since = " (forgiven: it got through as much since)" if each.forgiven else ""
            said = f"{each.strategy} {each.outcome} with {each.tokens} tokens{since}: {each.problem}"
            say(f"{shown_moment(each.at)}  {said}")


@app.command()
def drain(
    config: ConfigOption = None,
    wait_secs: Annotated[float, typer.Option(help="Wait so long for the worker to end.")] = 0.0,
) -> None:
    """Let the running worker finish what it claimed and take no more."""
    from worker.control import drain as ask
    from worker.report import status as look
    from worker.words import shown_moment

    settings = _config(config)
    ask(settings, wait_secs)
    say("Drained." if wait_secs else "Draining; see 'quern worker status'.")
    found = look(settings)
    if found.posted:
        last = shown_moment(found.owed_until, exact=False)
        note(f"{len(found.posted)} results can be called for until {last}: run the worker until then.")


@app.command()
def withdraw(
    amount: Annotated[str | None, typer.Argument(help="How much; all that is free by default.")] = None,
    to: Annotated[str | None, typer.Option(help="Receiving address; the key's own by default.")] = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: options.Json = False,
) -> None:
    """Move free money out of the market. That is all of it, the deposit for bonds too, unless an amount is given."""
    from chain.deployment import load
    from worker.control import withdraw as move

    settings = _config(config)
    currency = load(settings.chain.deployment).currency
    units = None if amount is None else currency.parse("amount", amount)
    done = move(settings, _password(password_file), units, to)
    if as_json:
        say_json(
            {"amount_units": done.amount_units, "to": done.to, "transaction": done.transaction},
        )
    else:
        say(f"Withdrawn {currency.show(done.amount_units)} to {done.to}, transaction {done.transaction}")


def _config(path: Path | None) -> "WorkerConfig":
    from worker.config import load

    return load(path or home().worker / "config.toml")


def _password(file: Path | None, *, is_new: bool = False) -> str:
    """From the file, else from the environment, else asked for."""
    from wallet.passwords import ask, password_for
    from worker.errors import NoPassword
    from worker.keystore import password_from_environment

    if file is not None:
        return password_for("worker", file)
    try:
        return password_from_environment()
    except NoPassword:
        if not sys.stdin.isatty():
            raise
        return ask("the worker's key", is_new=is_new)
