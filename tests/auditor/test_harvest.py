"""Measurements out of the chain and the store alone, of nothing that was challenged or tampered with."""

from auditor.harvest import gather
from chain.store import ContentStore
from metainf.harvest import harvest, jobs
from tests.auditor.support import Bench


def gathered(bench: Bench):
    return gather(bench.rpc, bench.devnet.deployment, ContentStore(bench.store.url, read_only=True))


def test_every_settled_task_with_its_receipt_is_gathered(bench: Bench) -> None:
    before = gathered(bench)
    bench.serve("1+1=?")
    bench.serve("2+2=?", "3+3=?")
    after = gathered(bench)
    assert len(after.served) == len(before.served) + 2
    fresh = after.served[-2:]
    assert sorted(part.prompts for part in fresh) == [1, 2]
    assert all(part.finished_at >= part.started_at for part in fresh)
    found = harvest(jobs(fresh))
    assert len(found.rows) + found.unknown_strategy == len(jobs(fresh))
