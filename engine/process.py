"""A child process with a pipe each way, in a group of its own that is killed and buried as one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from engine.environment import process_environment
from engine.oom import kernel_kills, says_out_of_memory

_LOG_TAIL_BYTES = 4096
_EXIT_LOOK_SECS = 0.02


@dataclass(frozen=True, slots=True)
class Death:
    """How a child ended, in words, and whether for lack of memory."""

    words: str
    out_of_memory: bool


class ChildProcess:
    """`command` gets three more arguments: the descriptor to read, the one to write, and our process id."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log_path: Path | None) -> None:
        self._log: BinaryIO = (
            log_path.open("a+b") if log_path else tempfile.TemporaryFile()  # noqa: SIM115 - closed when buried
        )
        # vLLM leaves its sockets and rendezvous files in the temporary folder of a process that was killed.
        self._scratch = tempfile.TemporaryDirectory(prefix="quern-engine-", ignore_cleanup_errors=True)
        child_reads, self.to_child = os.pipe()
        self.from_child, child_writes = os.pipe()
        try:
            self._popen = subprocess.Popen(
                [*command, str(child_reads), str(child_writes), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                pass_fds=(child_reads, child_writes),
                env={**process_environment(environment), "TMPDIR": self._scratch.name},
                start_new_session=True,
            )
        except BaseException:
            self._close()
            raise
        finally:
            os.close(child_reads)
            os.close(child_writes)
        self.pid = self._popen.pid
        self._kernel_kills = kernel_kills()
        # A child that does not read must not hold up its parent.
        os.set_blocking(self.to_child, False)
        self._killed_by_us = False
        # Held while the process id is used for a signal, and while it is given back to the kernel.
        self._burying = threading.Lock()

    def kill(self) -> None:
        """Kill the whole group now; nothing if it is already buried."""
        with self._burying:
            self._kill_group()

    def bury(self, grace_secs: float) -> Death:
        """Wait up to `grace_secs` for the exit, kill what is left of the group, say how the child ended."""
        deadline = time.monotonic() + grace_secs
        while not self._has_exited() and time.monotonic() < deadline:
            time.sleep(_EXIT_LOOK_SECS)
        exited_alone = self._has_exited() and not self._killed_by_us
        with self._burying:
            self._kill_group()
            status = self._popen.wait()
        words = self._last_words()
        self._close()
        killed = exited_alone and status == -signal.SIGKILL
        out_of_memory = (killed and kernel_kills() > self._kernel_kills) or (
            exited_alone and status != 0 and says_out_of_memory(words)
        )
        end = _how_it_ended(status, exited_alone=exited_alone)
        return Death(f"{end}; its last line: {words}" if words else end, out_of_memory)

    def _kill_group(self) -> None:
        if self._popen.returncode is not None:
            return
        self._killed_by_us = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _has_exited(self) -> bool:
        """Without reaping, so that the group id stays ours until the group has been killed."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _last_words(self) -> str:
        self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, self._log.tell() - _LOG_TAIL_BYTES))
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""

    def _close(self) -> None:
        os.close(self.to_child)
        os.close(self.from_child)
        self._log.close()
        self._scratch.cleanup()


def _how_it_ended(status: int, *, exited_alone: bool) -> str:
    if status >= 0:
        return f"its process ended with exit status {status}"
    name = signal.Signals(-status).name
    hint = (
        " (the out-of-memory killer, or somebody's kill -9)"
        if exited_alone and -status == signal.SIGKILL
        else ""
    )
    return f"its process was killed by {name}{hint}"
