"""Gas of a task's life, alone and in batches, from the receipts of whole transactions on a devnet of its own."""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain import devnet
from chain.call import Call
from chain.deployment import Deployment
from chain.market import Market
from chain.node import HARDHAT_DIR, PROJECT_ROOT
from chain.rpc import Rpc
from chain.sender import Sender
from protocol.errors import QuernError
from protocol.receipt import Receipt
from protocol.request import Request, task_id

SNAPSHOT = HARDHAT_DIR / "snapshots" / "gas.json"
PAGE = PROJECT_ROOT / "docs" / "protocol.md"
TABLE_START, TABLE_END = "<!-- gas table -->\n", "<!-- end of gas table -->"
OTHERS_PAGE = PROJECT_ROOT / "docs" / "market.md"
OTHERS_START, OTHERS_END = "<!-- comparison -->\n", "<!-- end of comparison -->"
BUDGETS = {
    "submit": 95_000,
    "submit_many_10_each": 72_000,
    "claim_32_each": 10_000,
    "post_32_each": 12_000,
    "settle_32_each": 13_000,
    "life_alone": 240_000,
    "life_batched_32": 110_000,
    "life_per_prompt_100": 2_500,
}
_MEANINGS = {
    "submit": "submit, from the balance",
    "submit_many_10_each": "submitMany of 10, each",
    "claim_32_each": "claimMany of 32, each",
    "post_32_each": "postBatch of 32, each",
    "settle_32_each": "settleMany of 32, each",
    "life_alone": "whole life of one task, alone",
    "life_batched_32": "whole life of one task, in batches of 32",
    "life_per_prompt_100": "whole life per prompt, 100 prompts in a task alone",
}
BATCH = 32
ETHER_UNITS = 10**9
LEASE_SECS = 300
MAX_OUTPUT_TOKENS = 1_024
# The gas of a call follows the bytes of its arguments, so these repeat from run to run.
_SALT = b"gas of a life"


@dataclass(frozen=True, slots=True)
class Life:
    """Gas of the four transactions that take tasks from submit to settled."""

    submit: int
    claim: int
    post: int
    settle: int

    @property
    def total(self) -> int:
        return self.submit + self.claim + self.post + self.settle


class Stage:
    """A market with one funded requester and one worker who has claimed before."""

    def __init__(self, deployment: Deployment) -> None:
        self._rpc = Rpc(deployment.rpc_url)
        self._market = Market(self._rpc, deployment)
        self._window_secs = deployment.parameters.window_secs
        self._requester = Sender(self._rpc, devnet.dev_account(1))
        self._worker = Sender(self._rpc, devnet.dev_account(2))
        self._requests = 0
        for sender in (self._requester, self._worker):
            self._gas(sender, self._market.deposit(sender.address, ETHER_UNITS))
        self.life(1)

    def life(self, tasks: int, *, prompts: int = 1) -> Life:
        """Tasks of that many prompts each, moved together."""
        requests = [self.request(prompts) for _ in range(tasks)]
        asking = self._market.submit(requests[0]) if tasks == 1 else self._market.submit_many(requests)
        ids = [task_id(self._market.domain, request) for request in requests]
        receipts = [
            Receipt(item, self._digest(f"body {index}"), requests[0].max_output_tokens // 2 + 5)
            for index, item in enumerate(ids)
        ]
        submit = self._gas(self._requester, asking)
        claim = self._gas(self._worker, self._market.claim_many(ids))
        post = self._gas(self._worker, self._market.post_batch(receipts))
        self._rpc.call("evm_increaseTime", self._window_secs + 1)
        self._rpc.call("evm_mine")
        settle = self._gas(self._worker, self._market.settle_many(ids))
        self._require_settled(ids)
        return Life(submit, claim, post, settle)

    def submit_many(self, tasks: int) -> int:
        """Gas of asking for that many tasks at once."""
        return self._gas(self._requester, self._market.submit_many([self.request(1) for _ in range(tasks)]))

    def request(self, prompts: int) -> Request:
        """A request of usual size: an input of the store, no equivalence class."""
        self._requests += 1
        return Request(
            requester=self._requester.address,
            salt=self._digest(f"salt {self._requests}"),
            model_id=self._digest("model"),
            input_digest=self._digest(f"input {self._requests}"),
            params_digest=self._digest("params"),
            max_fee_units=400_000,
            flat_percent=20,
            tip_units=50_000,
            max_output_tokens=MAX_OUTPUT_TOKENS * prompts,
            bond_units=1,
            deadline=self._rpc.latest().timestamp + 3_600,
            lease_secs=LEASE_SECS,
            input_uri=f"inputs/{self._digest(f'input {self._requests}').hex()}",
        )

    def _gas(self, sender: Sender, call: Call) -> int:
        return sender.send_and_wait(call).gas_used

    def _digest(self, text: str) -> bytes:
        return hashlib.sha256(_SALT + text.encode()).digest()

    def _require_settled(self, ids: Sequence[bytes]) -> None:
        for task in self._market.tasks(ids):
            if task.state.name != "SETTLED":
                raise RuntimeError(f"a task of the benchmark ended as {task.state.name}, not settled")


def measure(deployment: Deployment) -> dict[str, int]:
    """Figures by name; those ending in `_each` are per task, `life_per_prompt_100` per prompt."""
    stage = Stage(deployment)
    alone = stage.life(1)
    ten = stage.submit_many(10)
    batched = stage.life(BATCH)
    hundred = stage.life(1, prompts=100)
    return {
        "submit": alone.submit,
        "submit_many_10_each": ten // 10,
        "claim_32_each": batched.claim // BATCH,
        "post_32_each": batched.post // BATCH,
        "settle_32_each": batched.settle // BATCH,
        "life_alone": alone.total,
        "life_batched_32": batched.total // BATCH,
        "life_per_prompt_100": hundred.total // 100,
    }


def table(figures: dict[str, int]) -> str:
    """The figures as a Markdown table beside their budgets."""
    rows = [f"| {_MEANINGS[name]} | {gas:,} | {BUDGETS[name]:,} |" for name, gas in figures.items()]
    return "\n".join(["| Operation | gas | budget |", "| --- | --- | --- |", *rows]) + "\n"


def comparison(figures: dict[str, int]) -> str:
    """The figures beside what others published of theirs, as a Markdown table."""
    rows = [
        ("", "here", "Infernet", "Boundless"),
        ("---",) * 4,
        ("submit", f"{figures['submit']:,}", "142,000 (a whole test)", "46,000 (stores nothing)"),
        (
            "whole life of one request",
            f"{figures['life_alone']:,} alone, {figures['life_batched_32']:,} in batches of {BATCH}",
            "about 490,000",
            "312,000",
        ),
        (
            "whole life of one prompt, 100 in a task",
            f"{figures['life_per_prompt_100']:,}",
            "no such thing",
            "no such thing",
        ),
    ]
    return "".join(f"| {' | '.join(row)} |\n".replace("|  |", "| |") for row in rows)


def _save(figures: dict[str, int]) -> None:
    SNAPSHOT.write_text(json.dumps(figures, indent=2) + "\n")
    _renew(PAGE, TABLE_START, table(figures), TABLE_END)
    _renew(OTHERS_PAGE, OTHERS_START, comparison(figures), OTHERS_END)


def _renew(page: Path, start: str, content: str, end: str) -> None:
    before, _, rest = page.read_text().partition(start)
    _, _, after = rest.partition(end)
    page.write_text(before + start + content + end + after)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench/gas", description=__doc__)
    parser.add_argument(
        "--save", action="store_true", help=f"renew {SNAPSHOT.name} and the table in {PAGE.name}"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="quern-gas-") as folder:
        home = Path(folder)
        try:
            running = devnet.up(home, preset="bench", block_millis=None, die_with_parent=True)
            figures = measure(running.deployment)
        except QuernError as error:
            print(f"gas: {error}", file=sys.stderr)
            return error.exit_status
        finally:
            devnet.down(home)
    if arguments.save:
        _save(figures)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
