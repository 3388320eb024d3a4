"""One key works in one process: two senders of one key would fight over nonces."""

import errno
import fcntl
import os
import socket
from pathlib import Path

from protocol.digest import sha256
from worker.errors import KeyInUse


class KeyLock:
    """Held while the object lives; the kernel releases it when the process ends, however that happens.

    An abstract socket named after chain and key is seen by the whole machine, wherever keystore and database lie. The
    file beside the database tells other commands which process holds it.
    """

    def __init__(self, genesis_hash: str, address: str, state_dir: Path) -> None:
        """Raises KeyInUse."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            # Such names are short; the digest stands for chain and key.
            name = sha256(f"{genesis_hash} {address.lower()}".encode()).hex()
            self._socket.bind(f"\0quern-worker-{name}")
        except OSError as error:
            self._socket.close()
            if error.errno != errno.EADDRINUSE:
                raise
            raise KeyInUse(address) from error
        state_dir.mkdir(parents=True, exist_ok=True)
        self._file = os.open(state_dir / "worker.pid", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            self._socket.close()
            raise KeyInUse(address) from error
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    def release(self) -> None:
        os.ftruncate(self._file, 0)
        os.close(self._file)
        self._socket.close()


def running_pid(state_dir: Path) -> int | None:
    """The process that holds this database's lock, if one does."""
    try:
        file = os.open(state_dir / "worker.pid", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(file, 32).decode(errors="replace")
        return int(text) if text.isdecimal() else None
    finally:
        os.close(file)
    return None
