"""The worker's state on a terminal: once, or kept up to date while it works, with the log's latest lines under it."""

import logging
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from protocol.printable import one_line
from worker.config import WorkerConfig
from worker.report import State, WorkerStatus, status
from worker.words import no_deposit, shown_moment, shown_secs

LOG = logging.getLogger("quern.worker.screen")

_SHOWN_TASKS = 12
_LOG_LINES = 6
_LOOK_SECS = 0.5
_LATE_SECS = 5.0
_LONG_ID = re.compile(r"(0x[0-9a-f]{12})[0-9a-f]{52}")


def render(found: WorkerStatus) -> RenderableType:
    """Fits 80 columns and uses more where there are more."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(found):
        facts.add_row(name, value)
    stuck = found.state is State.RUNNING and not found.free_units and not found.locked_units
    warning = [Text(no_deposit(found.address), style="red")] if stuck else []
    return Group(facts, *_work(found), *warning, *_faults(found))


def _facts(found: WorkerStatus) -> Iterator[tuple[str, Text]]:
    yield "worker", Text.assemble(found.address, "  ", _state(found))
    yield "chain", _chain(found)
    oldest = f", the oldest {shown_secs(found.oldest_open_secs)}" if found.open_tasks else ""
    ends = (
        f", the next lease ends in {shown_secs(max(0, found.least_lease_secs))}" if found.held_tasks else ""
    )
    speed = f"{found.tokens_per_s:.1f} tokens/s" if found.running_tasks or found.tokens_per_s else "idle"
    up = f"{found.engine}, {speed}" if found.engine else "none"
    engine = f"starting {found.starting}" if found.starting else up
    yield "queue", Text(f"{found.open_tasks} open{oldest}; {found.held_tasks} leased{ends}")
    yield (
        "done",
        Text(
            f"{found.posted_tasks} posted, {found.settled} settled, {found.lost} lost, {found.declined} declined;"
            f" {found.transactions} transactions under way, {found.reorganisations} reorganisations"
        ),
    )
    yield (
        "engine",
        Text(
            f"{engine}; {found.output_tokens} tokens since the start,"
            f" {found.engine_restarts} restarts, {found.engine_failures} failures"
        ),
    )
    why = one_line(found.strategy_why)
    yield "strategy", Text(f"{found.strategy or 'none'}{': ' if why else ''}{why}")

    latest = f": {one_line(str(found.retrained.reason))}" if found.retrained is not None else ""
    yield "meta-model", Text(f"{found.meta_model[:18] or 'none'}{latest}")

    def coins(units: int) -> str:
        return f"{units / found.currency.units_per_coin:.6f}"

    yield (
        "money",
        Text(
            f"earned {coins(found.earned_units)}, burned {coins(found.burned_units)}, free"
            f" {coins(found.free_units)}, bonded {coins(found.locked_units)} {found.currency.symbol};"
            f" gas {found.gas_spent_wei / 1e18:.6f} ether"
        ),
    )


def _state(found: WorkerStatus) -> Text:
    """What the process does; a snapshot is of a moment, and of a worker that has ended the last one."""
    age_secs = max(0.0, time.time() - found.at)
    words = {
        State.STOPPED: "stopped" if found.at else "never ran",
        State.STARTING: "starting: reading the chain",
        State.KILLED: "ended without a clean stop; quern worker run takes its work up",
    }.get(found.state, found.state.value)
    ok = found.state in (State.RUNNING, State.DRAINING)
    late = age_secs > _LATE_SECS
    if ok and late:
        words += f", but has said nothing for {shown_secs(age_secs)}"
    elif not ok and found.at:
        words += f"; what follows is of {shown_moment(found.at, exact=False)}"
    return Text(words, "green" if ok and not late else "yellow")


def _chain(found: WorkerStatus) -> Text:
    silent_secs = found.chain_silent_secs + max(0.0, time.time() - found.at)
    block = f"block {found.block}" if found.at else "not read yet"
    if found.state not in (State.RUNNING, State.DRAINING) or silent_secs < _LATE_SECS:
        return Text(block)
    return Text(f"{block}; the chain has not answered for {shown_secs(silent_secs)}", "red")


def _work(found: WorkerStatus) -> list[Table]:
    lines = (*found.held, *found.posted)[:_SHOWN_TASKS]
    work = Table("task", "state", "stage", "prompts", "tokens", "until (UTC)", box=None, pad_edge=False)
    for line in lines:
        tokens = f"{line.tokens_done}/{line.max_output_tokens}"
        until = time.strftime("%H:%M:%S", time.gmtime(line.until))
        name = f"0x{line.task_id.hex()[:12]}"
        work.add_row(name, line.state, line.stage, str(line.prompts), tokens, until)
    return [work] if lines else []


def _faults(found: WorkerStatus) -> list[Text]:
    return [
        Text(one_line(f"0x{item.task_id.hex()[:12]} {item.reason}"), style="red", overflow="ellipsis")
        for item in found.faults
    ]


class Screen(logging.Handler):
    """Shown while the context lasts. As a log handler it keeps the latest lines, which stand at the bottom."""

    def __init__(self, config: WorkerConfig, console: Console) -> None:
        super().__init__()
        self._config = config
        self._console = console
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)
        self._ended = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        moment = time.strftime("%H:%M:%SZ", time.gmtime(record.created))
        said = _LONG_ID.sub(r"\1", one_line(record.getMessage()))
        self._lines.append(f"{moment} {said}")

    @contextmanager
    def shown(self) -> Iterator[None]:
        thread = threading.Thread(target=self._keep_up, name="screen", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _keep_up(self) -> None:
        """A terminal that was closed ends the view, not the work."""
        try:
            with Live(self._picture(), console=self._console, auto_refresh=False, transient=False) as live:
                while not self._ended.wait(_LOOK_SECS):
                    live.update(self._picture(), refresh=True)
                live.update(self._picture(), refresh=True)
        except (Exception, SystemExit) as error:  # noqa: BLE001 the renderer leaves the program when a pipe breaks
            LOG.warning("the live view has ended, the worker goes on: %s", error)

    def _picture(self) -> RenderableType:
        log = [Text(line, no_wrap=True, overflow="ellipsis", style="dim") for line in tuple(self._lines)]
        return Group(render(status(self._config)), Rule(style="dim"), *log)
