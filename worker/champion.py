"""Which meta-model chooses here: the configured one, or the one that was retrained from it on this worker's jobs."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from chain.files import replace_file
from metainf.errors import MetaModelUnreadable
from metainf.model import SHIPPED, MetaModel
from worker.codes import Reason
from worker.config import WorkerConfig

# In its provenance a retrained meta-model names the configured one that it goes back to.
ROOT = "retrained_from"


@dataclass(frozen=True, slots=True)
class Retrained:
    """What the latest retraining came to; `at` is in unix seconds."""

    at: float
    code: str
    text: str

    @property
    def reason(self) -> Reason:
        return Reason(self.code, self.text)


class Champion:
    """In the files of `state_dir`; lost, the configured meta-model chooses again."""

    def __init__(self, config: WorkerConfig) -> None:
        self._configured = config.engine.meta_model or SHIPPED
        self._retrains = config.learning.retrain_hours > 0
        self._folder = config.state_dir
        self._kept = config.state_dir / "meta-model.json"
        self._latest = config.state_dir / "retrained.json"

    @property
    def jobs_table(self) -> Path:
        """Where the jobs of the latest retraining are, as a table of measurements."""
        return self._folder / "jobs.parquet"

    def load(self) -> MetaModel:
        """The one that chooses. Raises MetaModelUnreadable for a configured one that cannot be used.

        A retrained one counts while retraining is on, and only for the configured one it goes back to: a newer
        release, or another file, is not put aside by what was learned before it came.
        """
        configured = MetaModel.load(self._configured)
        if not self._retrains:
            return configured
        try:
            kept = MetaModel.load(self._kept)
            kept.predictor()
        except MetaModelUnreadable:
            return configured
        return kept if kept.provenance.get(ROOT) == configured.digest() else configured

    def successor(self, learned: MetaModel, champion: MetaModel) -> MetaModel:
        """What was learned, naming the configured one that it goes back to."""
        root = champion.provenance.get(ROOT, champion.digest())
        return replace(learned, provenance={**learned.provenance, ROOT: root})

    def keep(self, successor: MetaModel) -> None:
        """It chooses from the next start on. Raises OSError."""
        replace_file(self._kept, successor.to_bytes())

    def note(self, retrained: Retrained) -> None:
        """Raises OSError."""
        replace_file(self._latest, json.dumps(asdict(retrained)).encode())

    def latest(self) -> Retrained | None:
        """None before the first retraining."""
        try:
            stored = json.loads(self._latest.read_bytes())
            return Retrained(float(stored["at"]), str(stored["code"]), str(stored["text"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def is_retrained(meta_model: MetaModel) -> bool:
    """Whether it was made by a worker, who alone has it until it is in the store."""
    return ROOT in meta_model.provenance
