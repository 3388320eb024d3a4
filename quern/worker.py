"""`quern worker`: a worker's whole life."""

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
    from wallet.amounts import parse_units
    from wallet.keystore import private_key
    from wallet.models import ModelList
    from worker.setup import init as write

    registered = [each.path for each in ModelList(home().models).all()]
    made = write(
        folder or home().worker,
        deployment=deployment or home().deployment,
        store_url=store or home().store.as_uri(),
        models=model or registered,
        password=_password(password_file, is_new=True),
        rpc_url=rpc or "",
        key=None if key_file is None else private_key(key_file.read_text()),
        engine_kind=engine.value,
        max_bond_units=None if max_bond is None else parse_units("max bond", max_bond),
    )
    if as_json:
        say_json({"config": str(made.config_path), "address": made.address, "warning": made.warning})
        return
    say(f"Wrote {made.config_path} and {made.keystore}")
    say(made.warning)
    say(f"Next: give {made.address} ether for gas, 'quern money deposit AMOUNT --for {made.address}',")
    say("then 'quern worker doctor' and 'quern worker run'.")


@app.command()
def doctor(
    config: ConfigOption = None, password_file: PasswordOption = None, as_json: options.Json = False
) -> None:
    """Check everything a worker needs, one line each, with the fix."""
    from protocol.errors import QuernError
    from worker.doctor import check

    settings = _config(config)
    try:
        password = _password(password_file)
    except QuernError:
        password = None
    checks = check(settings, password)
    if as_json:
        say_json(
            [{"name": each.name, "ok": each.ok, "detail": each.detail, "fix": each.fix} for each in checks]
        )
    else:
        rows = [
            ("ok" if each.ok else "NOT OK", each.name, each.detail + (f" -> {each.fix}" if each.fix else ""))
            for each in checks
        ]
        say_table(("", "CHECK", "FOUND"), rows)
    if not all(each.ok for each in checks):
        raise typer.Exit(2)


@app.command()
def run(config: ConfigOption = None, password_file: PasswordOption = None) -> None:
    """Serve until stopped. Ctrl-C or SIGTERM finishes what is claimed, a second one stops at once."""
    from worker.app import Worker

    raise typer.Exit(Worker(_config(config), _password(password_file)).run())


@app.command()
def status(
    config: ConfigOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing until Ctrl-C.")] = False,
    as_json: options.Json = False,
) -> None:
    """Say what the worker does and what it earned."""
    from rich.console import Console
    from rich.live import Live

    from worker.report import render
    from worker.report import status as look

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
        str, typer.Argument(metavar="TASK", help="Id of the task; its beginning will do once claimed.")
    ],
    config: ConfigOption = None,
    as_json: options.Json = False,
) -> None:
    """Print every decision about a task, with its code and reason."""
    from wallet.journal import parse_task_id
    from worker.report import tasks
    from worker.report import why as decisions

    settings = _config(config)
    claimed = tuple(each.task_id for each in tasks(settings))
    found = decisions(settings, parse_task_id(task, claimed))
    if as_json:
        say_json([{"at": each.at, "code": each.reason.code, "reason": each.reason.text} for each in found])
    else:
        for each in found:
            moment = time.strftime("%H:%M:%S", time.localtime(each.at))
            say(f"{moment}  {each.reason}")


@app.command()
def drain(
    config: ConfigOption = None,
    wait_secs: Annotated[float, typer.Option(help="Wait so long for the worker to end.")] = 0.0,
) -> None:
    """Let the running worker finish what it claimed and take no more."""
    from worker.control import drain as ask

    ask(_config(config), wait_secs)
    say("Drained." if wait_secs else "Draining; see 'quern worker status'.")


@app.command()
def withdraw(
    amount: Annotated[str | None, typer.Argument(help="How much; all that is free by default.")] = None,
    to: Annotated[str | None, typer.Option(help="Receiving address; the key's own by default.")] = None,
    config: ConfigOption = None,
    password_file: PasswordOption = None,
    as_json: options.Json = False,
) -> None:
    """Move free money out of the market. That is all of it, the deposit for bonds too, unless an amount is given."""
    from wallet.amounts import parse_units
    from worker.control import withdraw as move

    units = None if amount is None else parse_units("amount", amount)
    transaction = move(_config(config), _password(password_file), units, to)
    if as_json:
        say_json({"transaction": transaction})
    else:
        say(f"Withdrawn in transaction {transaction}")


def _config(path: Path | None) -> "WorkerConfig":
    from worker.config import load

    return load(path or home().worker / "config.toml")


def _password(file: Path | None, *, is_new: bool = False) -> str:
    """From the file, else from the environment, else asked for."""
    from wallet.passwords import password_for
    from worker.errors import NoPassword
    from worker.keystore import password_from_environment

    if file is not None:
        return password_for("worker", file)
    try:
        return password_from_environment()
    except NoPassword:
        note("No password in the environment.")
        return password_for("worker", None, is_new=is_new)
