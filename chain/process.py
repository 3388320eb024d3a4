"""Naming, watching and stopping one process of ours, and never another that got its number."""

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_STATE_FIELD = 0
_START_FIELD = 19
_POLL_SECS = 0.02


def start_ticks(pid: int) -> int | None:
    """Start time in clock ticks since boot; None if there is no such process or it is a zombie (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command in brackets may hold anything; fields are counted after it, from the state on.
    fields = text.rpartition(")")[2].split()
    return None if fields[_STATE_FIELD] == "Z" else int(fields[_START_FIELD])


def is_alive(pid: int, started: int) -> bool:
    """Whether the process that had `pid` at `started` still runs."""
    return start_ticks(pid) == started


def stop_group(pid: int, started: int, grace_secs: float) -> None:
    """Ends the process group that `pid` leads: asked first, killed after the grace."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if not is_alive(pid, started):
            break
        with suppress(ProcessLookupError):
            os.killpg(pid, sign)
        deadline = time.monotonic() + grace_secs
        while is_alive(pid, started) and time.monotonic() < deadline:
            time.sleep(_POLL_SECS)
    with suppress(ChildProcessError):
        # Ours if this process started it: leave no zombie.
        os.waitpid(pid, 0)


def die_with_parent() -> None:
    """For a child before exec: the kernel ends it when the thread that started it is gone (prctl(2))."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
