"""`quern panel`: a panel member's vote on a task in dispute."""

from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, options
from quern.console import moment, note, require_yes, say, say_json, say_table
from quern.follow import TaskArgument

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.lifecycle import TaskView
    from wallet.desk import Desk
    from wallet.panel import Bench, Case
    from wallet.view import Snapshot

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Vote on disputes as a member of the arbiter's panel.",
)


@app.command("list")
def list_(
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """List the tasks in dispute, the one that is due first on top."""
    from protocol.digest import to_hex
    from wallet.panel import Bench

    cases = Bench(connect.desk(deployment, rpc)).cases()
    if as_json:
        say_json([case.to_json() for case in cases])
    elif not cases:
        say("Nothing is in dispute.")
    else:
        rows = [
            (
                to_hex(case.task.task_id)[:18],
                case.phase,
                f"{case.hearing.faulty}/{case.sound} of {case.threshold}",
                str(case.task.until - case.now),
                case.task.challenger,
            )
            for case in cases
        ]
        say_table(("TASK", "HEARING", "FAULTY/SOUND", "SECONDS LEFT", "CHALLENGER"), rows)


@app.command()
def show(
    task: TaskArgument,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """Show what is in dispute, how far the hearing is, and what to look at before voting."""
    desk, _, case, snapshot = _case(task, deployment, rpc)
    if as_json:
        say_json(case.to_json())
        return
    for line in _lines(desk, case, snapshot):
        say(line)


@app.command("open")
def open_(
    task: TaskArgument,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
) -> None:
    """Open the hearing of a task in dispute. Anybody may; the times to commit and to reveal run from here."""
    desk, bench, case, _ = _case(task, deployment, rpc)
    owner = connect.keystore().choose(wallet)
    call = bench.open_call(case)
    desk.require_gas(owner.address)
    desk.send(call, connect.unlocked(owner.name, password_file))
    hearing = bench.panel.hearing(case.task.task_id)
    commit, reveal = moment(hearing.commit_until), moment(hearing.reveal_until)
    say(f"Hearing is open: commit until {commit}, reveal until {reveal}.")


@app.command()
def vote(
    task: TaskArgument,
    faulty: Annotated[
        bool | None,
        typer.Option("--faulty/--sound", help="The vote; it is final, and hidden until revealed."),
    ] = None,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    yes: options.Yes = False,
) -> None:
    """Commit a vote. Nothing has to be kept: the wallet's key finds it again to reveal it."""
    from wallet.panel import VoteNotSaid

    if faulty is None:
        raise VoteNotSaid
    desk, bench, case, _ = _case(task, deployment, rpc)
    owner = connect.keystore().choose(wallet)
    bench.require_votable(case, owner.address)
    desk.require_gas(owner.address)
    note(f"Vote     {'faulty' if faulty else 'sound'}, of {owner.address}")
    account = connect.unlocked(owner.name, password_file)
    require_yes("Commit it? A vote cannot be changed.", yes)
    desk.send(bench.vote_call(case.task.task_id, account, faulty=faulty), account)
    after, by = moment(case.hearing.commit_until), moment(case.hearing.reveal_until)
    say(f"Committed. Reveal it after {after}, by {by}.")


@app.command()
def reveal(
    task: TaskArgument,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
) -> None:
    """Reveal the committed vote, once no more can be committed."""
    desk, bench, case, snapshot = _case(task, deployment, rpc)
    owner = connect.keystore().choose(wallet)
    bench.require_revealable(case, owner.address)
    desk.require_gas(owner.address)
    account = connect.unlocked(owner.name, password_file)
    call, faulty = bench.reveal_call(case.task.task_id, account, snapshot)
    desk.send(call, account)
    say(f"Revealed: {'faulty' if faulty else 'sound'}.")


@app.command()
def rule(
    task: TaskArgument,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
) -> None:
    """Carry the panel's majority to the market; money moves. Anybody may."""
    desk, bench, case, snapshot = _case(task, deployment, rpc)
    owner = connect.keystore().choose(wallet)
    call = bench.rule_call(case, snapshot)
    desk.require_gas(owner.address)
    desk.send(call, connect.unlocked(owner.name, password_file))
    hearing = bench.panel.hearing(case.task.task_id)
    ruling = "faulty" if desk.read().task(case.task.task_id).faulty else "sound"
    say(f"Ruled: {ruling}. Each member who voted so may collect {desk.currency.show(hearing.share_units)}.")


@app.command()
def collect(
    to: Annotated[str | None, typer.Option(help="Receiving address; the wallet's own by default.")] = None,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
) -> None:
    """Take out what votes have earned."""
    from protocol.abi import parse_address
    from wallet.panel import Bench

    owner = connect.keystore().choose(wallet)
    receiver = owner.address if to is None else parse_address("to", to)
    desk = connect.desk(deployment, rpc)
    call, units = Bench(desk).collect_call(owner.address, receiver)
    desk.require_gas(owner.address)
    desk.send(call, connect.unlocked(owner.name, password_file))
    say(f"Collected {desk.currency.show(units)} to {receiver}.")


def _case(text: str, deployment: "Path | None", rpc: str | None) -> "tuple[Desk, Bench, Case, Snapshot]":
    from wallet.journal import parse_task_id
    from wallet.panel import Bench

    desk = connect.desk(deployment, rpc)
    bench = Bench(desk)
    snapshot = desk.read()
    task = snapshot.task(parse_task_id(text, tuple(snapshot.market.tasks)))
    return desk, bench, bench.case(task, snapshot), snapshot


def _lines(desk: "Desk", case: "Case", snapshot: "Snapshot") -> list[str]:
    from protocol.digest import to_hex

    task, hearing, show = case.task, case.hearing, desk.currency.show
    request = task.request
    votes = ", ".join(f"{member} {vote.name.lower()}" for member, vote in case.votes)
    times = (
        f"commit until {moment(hearing.commit_until)}, reveal until {moment(hearing.reveal_until)}"
        if hearing.opened
        else "open it by 'quern panel open'"
    )
    stores = [f"{worker} {snapshot.stores.get(worker, '(none announced)')}" for worker in task.winners]
    return [
        f"Task     {to_hex(task.task_id)}, {task.state.name.lower()}",
        f"Asked    by {request.requester}: model {to_hex(request.model_id)}, input {request.input_uri}",
        f"Posted   {task.output_tokens} output tokens by {', '.join(task.winners)}{_posted(task)}",
        f"Stores   {'; '.join(stores)}",
        f"Charged  by {task.challenger}, bond {show(task.challenge_bond_units)}; {task.open_demands} demands open",
        f"Hearing  {case.phase}: {times}; {case.threshold} equal votes rule",
        f"Votes    {votes}",
        f"Ruling   due by {moment(task.until)} ({task.until - case.now} s left)",
        f"Look     quern audit {to_hex(task.task_id)}",
    ]


def _posted(task: "TaskView") -> str:
    from protocol.digest import to_hex

    if task.replicated:
        return f", verdict {to_hex(task.verdict)}"
    return f", batch root {to_hex(task.root)}"
