"""Training a challenger, as a process of its own: settings come on standard input, the verdict goes to standard output.

It is started with low priority and has one thread, so that the worker beside it and its engines do not notice.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from chain.store import ContentStore
from metainf.challenge import challenge
from metainf.harvest import harvest, jobs
from metainf.model import SHIPPED_TABLE
from metainf.table import write_table
from protocol.errors import QuernError
from worker.champion import Champion
from worker.config import WorkerConfig
from worker.database import Database
from worker.receipts import own_receipt

# Beyond these, older jobs teach nothing.
_MOST_TASKS = 2_000


@dataclass(frozen=True, slots=True)
class Answer:
    """`promoted`: the successor was written to the file that was named. `sentence` is for a person."""

    promoted: bool
    sentence: str


def train(config: WorkerConfig, me: str, successor: Path) -> Answer:
    """Reads the database and the store, writes the jobs' table and, if it is better, the successor.

    Raises TooFewMeasurements, TableUnreadable, MetaModelUnreadable, StoreUnavailable and what else reading raises.
    """
    store, database = (
        ContentStore(config.store.url, read_only=True),
        Database(config.database, read_only=True),
    )
    try:
        settled = database.settled(_MOST_TASKS)
    finally:
        database.close()
    served = (own_receipt(store, task_id, me) for task_id in settled)
    found = harvest(jobs(part for part in served if part is not None))
    champion = Champion(config)
    write_table(found.rows, champion.jobs_table)
    current = champion.load()
    table = config.learning.table or SHIPPED_TABLE
    judged = challenge(current, table, champion.jobs_table)
    if judged.learned is not None:
        successor.write_bytes(champion.successor(judged.learned, current).to_bytes())
    return Answer(judged.verdict.promoted, judged.verdict.sentence())


def main() -> int:
    """Exit status as of the command line; what went wrong is one line on standard error."""
    order = json.load(sys.stdin)
    config = WorkerConfig(**order["config"])
    try:
        answer = train(config, order["worker"], Path(order["successor"]))
    except QuernError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    sys.stdout.write(json.dumps(asdict(answer)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
