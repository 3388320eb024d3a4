"""Where a worker's processor time goes: its steps under a stopwatch, each without the steps inside it."""

import importlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

from worker import steps
from worker.artefacts import Call

# What each step of a task's way is called, and where it is found in the worker: what is called for many at a time, so
# that the stopwatch itself costs next to nothing.
STAGES = {
    "ask the node for news": ("chain.follower:Follower.poll",),
    "decode events": ("chain.follower:decode_logs",),
    "apply events": ("worker.follow:Poller._poll_once",),
    "save tasks": ("worker.database:Database.save_tasks", "worker.database:Database.set_cursor"),
    "note for why": ("worker.database:Database.note",),
    "decide": ("worker.reconciler:decide",),
    "reconcile": ("worker.reconciler:Reconciler.step",),
    "check inputs": ("worker.fetching:Fetcher._fetch",),
    "choose a strategy": ("worker.selection:Chooser.choose",),
    "feed and hear the engine": ("worker.engines:EngineHost._admit", "worker.engines:EngineHost._hear"),
    "unpack tokens": ("engine.child:ChildEngine._listen",),
    "make results": ("worker.reconciler:Reconciler._make_results",),
    "save results": ("worker.database:Database.save_results",),
    "store results": ("worker.storing:Storer._put",),
    "plan calls": ("worker.calls:Calls._for_many", "worker.outbox:Outbox.send"),
    "sign and send": ("worker.outbox:Outbox.pump",),
    "snapshot for status": ("worker.live:Snapshot.write",),
}


class Stopwatch:
    """Processor seconds of each stage over all threads."""

    def __init__(self) -> None:
        self._local = threading.local()
        # One dictionary a thread: nobody waits for another to count.
        self._of_threads: list[dict[str, float]] = []

    def install(self, stages: Mapping[str, tuple[str, ...]] = STAGES) -> None:
        """From now on these functions are timed."""
        for stage, places in stages.items():
            for place in places:
                module, _, path = place.partition(":")
                owner: Any = importlib.import_module(module)
                *holders, name = path.split(".")
                for holder in holders:
                    owner = getattr(owner, holder)
                setattr(owner, name, self._timed(stage, getattr(owner, name)))

    def secs(self) -> dict[str, float]:
        total: Counter[str] = Counter()
        for secs in list(self._of_threads):
            total.update(secs)
        return dict(total)

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **named: Any) -> Any:
            inside, secs = self._of_this_thread()
            inside.append(0.0)
            began = time.thread_time()
            try:
                return function(*args, **named)
            finally:
                spent = time.thread_time() - began
                secs[stage] = secs.get(stage, 0.0) + spent - inside.pop()
                inside[-1] += spent

        return timed

    def _of_this_thread(self) -> tuple[list[float], dict[str, float]]:
        """What the functions that are running have spent inside each other; and the thread's sums."""
        known: tuple[list[float], dict[str, float]] | None = getattr(self._local, "known", None)
        if known is None:
            known = self._local.known = ([0.0], {})
            self._of_threads.append(known[1])
        return known


def note_signings(path: Path) -> None:
    """From now on the file has, by kind of call, the unix times at which signed bytes were durable and went out."""
    signed: dict[str, list[float]] = {}
    written = path.with_suffix(".new")

    def reached(moment: steps.Moment, step: steps.Step, call: Call | None) -> None:
        if (moment, step) == (steps.Moment.AFTER, steps.Step.SIGN) and call is not None:
            signed.setdefault(call.value, []).append(time.time())
            # Whoever reads it meanwhile finds all of it.
            written.write_text(json.dumps(signed), encoding="utf-8")
            written.replace(path)

    steps.reached = reached
