"""`scripts/demo`: runs the main job and reports on it. Exit status 0 only if every check held."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from eth_account.signers.local import LocalAccount

from auditor.app import Auditor
from auditor.case import History
from auditor.report import AuditReport
from auditor.token_step import checker
from chain.store import ContentStore
from protocol.errors import QuernError
from protocol.money import show_units
from protocol.replay import MarketView
from quern.context import Home
from scripts.demo_job import asking, books, stage
from scripts.demo_job.asking import Sent
from scripts.demo_job.books import Books
from scripts.demo_job.console import CONSOLE, say, title
from scripts.demo_job.outcome import Outcome, outcome_of, overtaken
from scripts.demo_job.stage import DEMO_MODEL, ROOT, DemoFailed, Stage, shown
from worker import control

REPORT_FILE = "demo-report.json"
WALLETS = ("chat", "batch", "story")


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all settled, every audit step passed, every wei accounted for. 1: not. 130: interrupted."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument(
        "--stay", action="store_true", help="leave devnet and worker up and say how to use them"
    )
    parser.add_argument(
        "--report", type=Path, default=Path(REPORT_FILE), help=f"where to write {REPORT_FILE}"
    )
    parser.add_argument(
        "--home", type=Path, default=ROOT / ".quern" / "demo", help="emptied, then used for all state"
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    home = Home(options.home.absolute())
    process: subprocess.Popen[bytes] | None = None
    kept = passed = False
    try:
        home = stage.fresh_home(home.folder)
        title("1 Devnet, contracts, model")
        desk = stage.start_devnet(home, stay=options.stay)
        store = ContentStore(home.store.as_uri())
        model = stage.add_model(home, desk, store)
        title("2 A worker with vLLM")
        config = stage.set_up_worker(home, desk, store)
        process, log = stage.start_worker(home, config, stay=options.stay)
        ready = Stage(home, desk, store, model, config, process, log)
        passed = _job(ready, options.report, started)
        kept = options.stay
        if kept:
            _say_how_to_go_on(ready)
    except KeyboardInterrupt:
        say("interrupted; stopping what was started")
        return 130
    except (DemoFailed, QuernError) as error:
        CONSOLE.print(f"\nThe demo failed: {error}", style="red", markup=False)
    finally:
        if not kept:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            stage.stop(home, process)
    return 0 if passed else 1


def _job(ready: Stage, report_file: Path, started: float) -> bool:
    title("3 Four tasks from three wallets")
    accounts = {name: stage.make_wallet(ready.home, ready.desk, name) for name in WALLETS}
    sent = [_submit(ready, ask, accounts) for ask in (*asking.first_asks(), asking.late_ask())]
    title("4 The worker at work")
    view = _watch(ready, sent)
    withdrawn = _withdraw(ready, accounts)
    title("5 Audit of every task")
    history = History.fetch(ready.desk.rpc, ready.desk.deployment)
    audits = _audit(ready, sent)
    outcomes = [
        outcome_of(ready, item, view, history.events, audit) for item, audit in zip(sent, audits, strict=True)
    ]
    title("6 What each task cost and brought")
    for item in outcomes:
        CONSOLE.print(
            f"\n   {item.sent.ask.title} (0x{item.sent.task_id.hex()[:16]})", style="bold", markup=False
        )
        for line in item.lines():
            say(line)
    title("7 Checks")
    names: dict[str, str] = {account.address: name for name, account in accounts.items()}
    worker = next(task.worker for task in view.tasks.values() if task.worker)
    names[worker] = "worker"
    closed = books.close(ready.desk, names, withdrawn, worker)
    passed = _check(outcomes, closed)
    _write(report_file, outcomes, closed, passed=passed, secs=time.monotonic() - started)
    say(f"report in {shown(report_file.absolute())}, after {time.monotonic() - started:.0f} s")
    return passed


def _submit(ready: Stage, ask: asking.Ask, accounts: dict[str, LocalAccount]) -> Sent:
    item = asking.submit(ready, ask, accounts[ask.wallet])
    request = item.draft.request
    tip = f", tip {request.tip_units:,} gwei" if request.tip_units else ""
    say(
        f"wallet {ask.wallet:<5} asks: {ask.title}; at most {request.max_fee_units:,} gwei for up to "
        f"{request.max_output_tokens} tokens{tip} (block {item.receipt.block_number})"
    )
    return item


def _watch(ready: Stage, sent: Sequence[Sent]) -> MarketView:
    told: dict[bytes, str] = {}
    with CONSOLE.status("waiting for the worker"):
        for market, waited_secs in asking.progress(ready, sent, asking.all_ended(sent)):
            for item in sent:
                state = market.tasks[item.task_id].state.name.lower()
                if told.get(item.task_id) != state:
                    told[item.task_id] = state
                    say(f"{waited_secs:5.1f} s  {state:<8}  {item.ask.title}")
    return market


def _withdraw(ready: Stage, accounts: dict[str, LocalAccount]) -> dict[str, int]:
    """Everybody takes out what is theirs; the worker keeps its deposit in, for the next bonds. UNITs by address."""
    desk = ready.desk
    withdrawn: dict[str, int] = {}
    for name, account in accounts.items():
        free_units = desk.market.account(account.address).free_units
        if free_units:
            desk.send(desk.market.withdraw(free_units, account.address), account)
            withdrawn[account.address] = free_units
            say(f"wallet {name} withdraws {show_units(free_units)}")
    worker = next(task.worker for task in desk.read().market.tasks.values() if task.worker)
    earned_units = sum(task.paid_units for task in desk.read().market.tasks.values() if task.worker == worker)
    password = (ready.home.folder / "worker.password").read_text()
    control.withdraw(ready.worker, password, earned_units, None)
    withdrawn[worker] = earned_units
    say(f"the worker withdraws what it earned, {show_units(earned_units)}")
    return withdrawn


def _audit(ready: Stage, sent: Sequence[Sent]) -> list[AuditReport]:
    store = ContentStore(ready.store.url, read_only=True)
    found = []
    with CONSOLE.status("starting an engine of the auditor's own"), checker("vllm", DEMO_MODEL) as engine:
        auditor = Auditor(ready.desk.rpc, ready.desk.deployment, store, DEMO_MODEL, engine)
        for item in sent:
            audit = auditor.audit(item.task_id)
            found.append(audit)
            say(f"{item.ask.title}:")
            for line in audit.to_text().splitlines()[1:]:
                say(f"  {line.strip()}")
    return found


def _check(outcomes: Sequence[Outcome], closed: Books) -> bool:
    later = overtaken(outcomes)
    late = outcomes[-1]
    waited = ", ".join(item.sent.ask.title for item in later)
    checks = (
        (
            all(item.state == "settled" for item in outcomes),
            f"{len(outcomes)} of {len(outcomes)} tasks settled",
        ),
        (
            bool(later),
            f"the late task with the higher tip was claimed in block {late.claimed_block}, before: "
            + (f"{waited} (block {min(item.claimed_block for item in later)})" if later else "none"),
        ),
        (all(item.audit.passed for item in outcomes), "every audit step of every task passed"),
        (
            closed.balanced,
            (
                f"every wei is accounted for: {closed.fees_paid_wei:,} wei of fees paid and earned, market holds "
                f"{closed.market_balance_wei:,}, burned {closed.burned_wei}"
            ),
        ),
    )
    for held, text in checks:
        CONSOLE.print(
            f"   {'ok    ' if held else 'FAILED'} {text}", style="" if held else "red", markup=False
        )
    return all(held for held, _ in checks)


def _write(
    report_file: Path, outcomes: Sequence[Outcome], closed: Books, *, passed: bool, secs: float
) -> None:
    report = {
        "passed": passed,
        "secs": round(secs, 1),
        "tasks": [item.to_json() for item in outcomes],
        "overtaken": [f"0x{item.sent.task_id.hex()}" for item in overtaken(outcomes)],
        "money_wei": {
            "balanced": closed.balanced,
            "fees_paid": closed.fees_paid_wei,
            "fees_earned": closed.fees_earned_wei,
            "burned": closed.burned_wei,
            "market_balance": closed.market_balance_wei,
            "market_unexplained": closed.market_unexplained_wei,
            "accounts": [
                {
                    "name": account.name,
                    "address": account.address,
                    "received": account.received_wei,
                    "sent": account.sent_wei,
                    "paid_out": account.paid_out_wei,
                    "gas": account.gas_wei,
                    "balance": account.balance_wei,
                    "unexplained": account.unexplained_wei,
                }
                for account in closed.accounts
            ],
        },
    }
    report_file.write_text(json.dumps(report, indent=1) + "\n")


def _say_how_to_go_on(ready: Stage) -> None:
    home = shown(ready.home.folder)
    title("Devnet and worker stay up")
    for line in (
        f"source {ROOT / '.venv/bin/activate'}",
        f"export QUERN_HOME={home} QUERN_PASSWORD_FILE={home}/wallets.password",
        "quern submit '47+85=?' --wallet chat --max-tokens 8 --wait",
        "quern tasks --all",
        f"quern worker status --config {home}/worker/config.toml",
        "quern worker drain; quern devnet down      # when you are done",
    ):
        say(line)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # A terminal's Ctrl-C reaches the whole group; children are ended by this process, in order.
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
