"""`quern audit worker`: a worker's history with the speeds its receipts claim, as text, JSON and one HTML page."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from statistics import median

from auditor.case import Case, History
from auditor.findings import Lacking, Refuted, counted
from auditor.worker_history import WorkerHistory, history_of
from chain.deployment import Deployment, check
from chain.rpc import Rpc
from chain.store import ContentStore
from metainf import SelectionRecord
from protocol.currency import Currency
from protocol.digest import JsonValue, to_hex
from protocol.errors import QuernError

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #ccc}"
    "code{font-size:90%}"
)


@dataclass(frozen=True, slots=True)
class Speed:
    """One result's time by its receipt, which only its worker vouches for. `predicted_secs` is the meta-model's for the
    batch it was chosen for, None where that batch held other tasks too: then the two cannot be compared.
    """

    task_id: bytes
    strategy: str
    output_tokens: int
    measured_secs: float
    predicted_secs: float | None

    @property
    def tokens_per_s(self) -> float:
        return self.output_tokens / self.measured_secs if self.measured_secs else 0.0


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """`unread` results had no readable receipt in any store at hand."""

    history: WorkerHistory
    currency: Currency
    speeds: tuple[Speed, ...]
    unread: int

    @property
    def prediction_ratio(self) -> float | None:
        """Median of measured over predicted seconds; None where none can be compared."""
        ratios = [speed.measured_secs / speed.predicted_secs for speed in self.speeds if speed.predicted_secs]
        return median(ratios) if ratios else None

    def to_json(self) -> dict[str, JsonValue]:
        return {
            **self.history.to_json(),
            "currency": self.currency.symbol,
            "speeds": [
                {**asdict(speed), "task_id": to_hex(speed.task_id), "tokens_per_s": speed.tokens_per_s}
                for speed in self.speeds
            ],
            "measured_over_predicted": self.prediction_ratio,
            "receipts_unread": self.unread,
        }

    def rows(self) -> Iterator[tuple[str, str]]:
        """What it is, and what was found; the same lines for text and page."""
        work, money, show = self.history.work, self.history.money, self.currency.show
        yield "Leases", f"{work.claimed} claimed, {work.released} released, {work.lapsed} lapsed"
        yield "Results", f"{work.posted} posted, {work.settled} settled"
        if work.committed:
            counted_out = f"{work.minority} in a minority, {work.unrevealed} never revealed"
            said = f"{work.committed} committed, {work.revealed} revealed, {work.won} in a majority, {counted_out}"
            yield "Replicas", said
        yield "Demands", f"{work.answered} answered, {work.unanswered} left unanswered"
        yield "Rulings", f"{work.faulty} faulty, {work.cleared} cleared"
        yield "Inversions", self._inversions()
        yield "Earned", show(money.earned)
        yield "Lost", f"{show(money.burned)} burned, {show(money.slashed)} slashed"
        yield "Moved", f"{show(money.deposited)} in, {show(money.withdrawn)} out"
        yield "Balance", f"{show(money.free)} free, {show(money.locked)} in bonds"
        yield "Speed", self._speed()

    def to_text(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        lines = [f"  {name:<{width}}  {said}" for name, said in self.rows()]
        return "\n".join([f"Worker {self.history.address}", *lines])

    def to_html(self) -> str:
        """One page that needs nothing else; every text in it is escaped."""
        address = escape(self.history.address)
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(said)}</td></tr>" for name, said in self.rows()
        )
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Worker {address}</title>'
            f"<style>{_STYLE}</style><h1>Worker <code>{address}</code></h1><table>{rows}</table>"
            f"{_inverted_table(self.history)}{_speed_table(self.speeds)}</html>\n"
        )

    def _inversions(self) -> str:
        passed = sum(len(claim.inversions) for claim in self.history.inverted)
        if not passed:
            return "none: no better-ranked task that suited as well was passed over"
        return f"{counted(passed, 'better-ranked task')} passed over in {len(self.history.inverted)} claims"

    def _speed(self) -> str:
        unread = f"; {counted(self.unread, 'receipt')} not at hand" if self.unread else ""
        if not self.speeds:
            return f"unknown{unread}"
        rate = median(speed.tokens_per_s for speed in self.speeds)
        ratio = self.prediction_ratio
        held = "" if ratio is None else f", {ratio:.2f} of the predicted time"
        return f"{rate:.1f} output tokens/s{held} (medians of {len(self.speeds)} receipts, the worker's word){unread}"


def audit_worker(address: str, rpc: Rpc, deployment: Deployment, store: ContentStore | None) -> WorkerReport:
    """Raises NotAWorker, WrongChain, ChainReset, ImpossibleHistory, RpcUnavailable."""
    check(deployment, rpc)
    history = History.fetch(rpc, deployment)
    found = history_of(address, history, deployment)
    speeds = []
    for task in found.results:
        speed = _speed_of(Case(task.task_id, history, deployment, store, None), address)
        if speed is not None:
            speeds.append(speed)
    return WorkerReport(found, deployment.currency, tuple(speeds), len(found.results) - len(speeds))


def _speed_of(case: Case, address: str) -> Speed | None:
    try:
        document = case.document
        document.check()
        record = SelectionRecord.from_json(document.selection)
    except (Lacking, Refuted, QuernError):
        return None
    body = document.body
    if body.worker != address:
        return None  # of replicas that agree, another one's receipt is in the store
    predicted = next((each.total_secs for each in record.predictions if each.strategy == record.chosen), None)
    return Speed(
        task_id=body.task_id,
        strategy=record.chosen,
        output_tokens=document.output_tokens,
        measured_secs=max(0, body.finished_at_ms - body.started_at_ms) / 1000,
        predicted_secs=predicted if record.workload.prompts == len(document.table) else None,
    )


def _inverted_table(history: WorkerHistory) -> str:
    if not history.inverted:
        return ""
    rows = "".join(
        f"<tr><td><code>{to_hex(claim.event.task_id)}</code></td><td><code>{to_hex(item.skipped)}</code></td>"
        f"<td>{item.waited_secs}</td></tr>"
        for claim in history.inverted
        for item in claim.inversions
    )
    return f"<h2>Inversions</h2><table><tr><th>taken</th><th>passed over</th><th>seconds open</th></tr>{rows}</table>"


def _speed_table(speeds: Sequence[Speed]) -> str:
    if not speeds:
        return ""
    rows = "".join(
        f"<tr><td><code>{to_hex(speed.task_id)[:18]}</code></td><td>{escape(speed.strategy)}</td>"
        f"<td>{speed.output_tokens}</td><td>{speed.measured_secs:.2f}</td>"
        f"<td>{'' if speed.predicted_secs is None else f'{speed.predicted_secs:.2f}'}</td></tr>"
        for speed in speeds
    )
    head = "<tr><th>task</th><th>strategy</th><th>tokens</th><th>measured s</th><th>predicted s</th></tr>"
    return f"<h2>Speeds</h2><table>{head}{rows}</table>"
