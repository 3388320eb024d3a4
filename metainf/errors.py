"""What can go wrong in the meta-learner, one class per cause."""

from protocol.errors import BadInput, NotYet


class ModelUnreadable(BadInput):
    """A model directory whose config.json is missing or lacks a field that the features need."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__("METAINF-001", "model", path, f"{problem}; give a Hugging Face model directory")


class MetaModelUnreadable(BadInput):
    """A meta-model file that is missing, truncated or of another format."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__("METAINF-002", "meta-model", path, f"{problem}; run `quern metainf train`")


class MetaModelMissing(BadInput):
    """A recorded choice was made with another meta-model than the one loaded."""

    def __init__(self, wanted: str, loaded: str) -> None:
        super().__init__(
            "METAINF-003",
            "meta-model",
            wanted,
            f"the loaded one is {loaded}; load the meta-model of that digest",
        )


class StrategyUnknown(BadInput):
    """A strategy name, or a recorded strategy digest, that the given candidates do not contain."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__("METAINF-004", "strategy", name, f"choose among {', '.join(known) or 'none'}")


class NothingFeasible(BadInput):
    """No candidate can run this task on this machine."""

    def __init__(self, reasons: tuple[str, ...]) -> None:
        super().__init__(
            "METAINF-005", "strategies", "; ".join(reasons), "enlarge the KV cache or allow more strategies"
        )


class TableUnreadable(BadInput):
    """A table of measurements that is missing or does not follow the schema."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(
            "METAINF-006", "table", path, f"{problem}; see metainf/data/README.md for the schema"
        )


class TooFewMeasurements(NotYet):
    """A table too small for what is asked of it."""

    def __init__(self, what: str, rows: int) -> None:
        super().__init__("METAINF-007", what, rows, "measure more tasks with `quern metainf measure`")


class RecordUnreadable(BadInput):
    """A recorded choice that does not have the form a selector writes."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(
            "METAINF-008", field, problem, "give the selection record of a receipt as it was written"
        )


class ResearchExtraMissing(BadInput):
    """The baselines of the literature need packages that neither a wallet nor a worker has."""

    def __init__(self, package: str) -> None:
        super().__init__("METAINF-009", "package", package, "install quern's extra 'research'")


class BadGroup(BadInput):
    """A group that a table does not have, or whose members are all alike."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(
            "METAINF-010",
            "group",
            name,
            f"choose among {', '.join(known) or 'none: the table has no groups'}",
        )


class DefaultUnknown(BadInput):
    """A default that is no alternative of the table."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__("METAINF-011", "default", name, f"choose among {', '.join(known)}")


class PredictionsUnwritable(BadInput):
    """A file of predictions in a format that is not written."""

    def __init__(self, path: str) -> None:
        super().__init__("METAINF-012", "predictions", path, "name a file that ends in .csv or .parquet")


class GpuUnknown(BadInput):
    """No NVIDIA GPU, or one whose peak rates nobody wrote down."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__("METAINF-020", "GPU", name, problem)


class TableExists(BadInput):
    """A sweep that would go on with a table nobody said to go on with."""

    def __init__(self, path: str) -> None:
        super().__init__("METAINF-021", "table", path, "it exists; give --resume to go on with it")


class BudgetUnreadable(BadInput):
    """A time budget of another form."""

    def __init__(self, text: str) -> None:
        super().__init__(
            "METAINF-022", "budget", text, "give seconds, minutes or hours, such as 90s, 8m or 2h"
        )


class EngineMissing(BadInput):
    """No vLLM for the device to measure."""

    def __init__(self, device: str) -> None:
        super().__init__("METAINF-023", "device", device, "no vLLM for it is installed: see docs/metainf.md")


class ShapeUnknown(BadInput):
    """A model shape that no sweep of this device has."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__("METAINF-024", "shape", name, f"choose among {', '.join(known)}")


class RaceTooNarrow(BadInput):
    """A race in which not all strategies are up together: those of two groups would never meet."""

    def __init__(self, resident: int, strategies: int) -> None:
        super().__init__(
            "METAINF-027",
            "resident",
            resident,
            f"a race is run by all {strategies} strategies side by side; give --resident {strategies}, or no --race",
        )


class DeviceUnknown(BadInput):
    """A device that no strategy is made for."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__("METAINF-025", "device", name, f"choose among {', '.join(known)}")


class VersionUnreadable(BadInput):
    """A version of vLLM that is none."""

    def __init__(self, text: str) -> None:
        super().__init__("METAINF-026", "vllm-version", text, "give a version such as 0.32.0")
