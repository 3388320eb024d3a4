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
