"""What an operator can get wrong, or meet, one class per cause."""

from protocol.currency import Currency
from protocol.errors import BadInput, Unavailable


class BadConfig(BadInput):
    """A setting that is missing, unknown, of the wrong type or out of range."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__("WORKER-001", field, value, fix)


class KeystoreMissing(BadInput):
    """There is no keystore where the configuration says."""

    def __init__(self, path: str) -> None:
        super().__init__(
            "WORKER-002", "keystore", path, "run `quern worker init`, or name the file in [keys]"
        )


class KeystoreUnreadable(BadInput):
    """The file is not an Ethereum keystore."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__("WORKER-003", "keystore", path, f"{reason}; give an encrypted keystore (version 3)")


class NoPassword(BadInput):
    """No password was given for the keystore."""

    def __init__(self) -> None:
        super().__init__(
            "WORKER-005",
            "password",
            None,
            "the worker's key needs one: give --password-file, or set QUERN_KEYSTORE_PASSWORD_FILE (a file only"
            " you can read) or QUERN_KEYSTORE_PASSWORD",
        )


class KeyInUse(BadInput):
    """Another process on this machine works with the same key on the same chain."""

    def __init__(self, address: str) -> None:
        super().__init__(
            "WORKER-006",
            "key",
            address,
            "another worker runs with it; stop that one (`quern worker drain`) first",
        )


class AnotherChain(BadInput):
    """The database was filled from another chain, market or key than the one configured now."""

    def __init__(self, state_dir: str, field: str, found: str, recorded: str) -> None:
        super().__init__(
            "WORKER-007",
            "state_dir",
            state_dir,
            f"its database belongs to another {field} ({recorded}, now {found}); set state_dir to a new folder, or move"
            " this one away if that chain is gone (a new devnet)",
        )


class WontOverwrite(BadInput):
    """`init` would overwrite a file."""

    def __init__(self, path: str) -> None:
        super().__init__("WORKER-008", "file", path, "it exists; move it away or choose another directory")


class UnknownTask(BadInput):
    """A task id this worker has never seen."""

    def __init__(self, task: str) -> None:
        super().__init__("WORKER-009", "task", task, "give the 0x id of a task this worker has seen")


class NotRunning(BadInput):
    """A request to a worker that does not run."""

    def __init__(self, state_dir: str) -> None:
        super().__init__(
            "WORKER-010", "worker", state_dir, "it does not run; start it with `quern worker run`"
        )


class NotEnoughFree(BadInput):
    """A withdrawal of more than the free balance."""

    def __init__(self, asked_units: int, free_units: int, currency: Currency) -> None:
        super().__init__(
            "WORKER-011",
            "amount",
            currency.show(asked_units),
            f"at most {currency.show(free_units)} is free to withdraw",
        )


class NoAnswer(Unavailable):
    """A running worker did not carry out a request in time."""

    def __init__(self, request: str, secs: float) -> None:
        super().__init__(
            "WORKER-012", "request", request, f"the worker did not answer within {secs:g} s; see its log"
        )


class BadStateFile(BadInput):
    """The worker's database is damaged or belongs to another version."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            "WORKER-013",
            "database",
            path,
            f"{reason}; move it away: the worker rebuilds it from chain and store",
        )


class RequestRefused(BadInput):
    """A running worker could not do what it was asked to."""

    def __init__(self, request: str, why: str) -> None:
        super().__init__("WORKER-014", "request", request, why)


class StateUnwritable(Unavailable):
    """The database takes nothing: the disk is full, or went away."""

    def __init__(self, state_dir: str, reason: str) -> None:
        super().__init__(
            "WORKER-015",
            "state_dir",
            state_dir,
            f"{reason}; make room and start again: what was claimed is taken up where it was",
        )


class GpuUnusable(BadInput):
    """The settings ask for a GPU that is not there or does not work."""

    def __init__(self, device: str, problem: str) -> None:
        super().__init__(
            "WORKER-016", "engine.device", device, f"{problem}; install driver and CUDA vLLM, or choose cpu"
        )


class CannotShare(BadInput):
    """A model cannot be spread over so many devices."""

    def __init__(self, setting: str, size: int, problem: str) -> None:
        super().__init__("WORKER-017", setting, size, problem)
