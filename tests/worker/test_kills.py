"""SIGKILL before and after each step that the worker's code names; then chain, store and money are as ever.

A step or a kind of transaction that is added to the code and has no life here fails.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

import worker
from chain.deployer import deploy
from chain.devnet import dev_account
from tests.worker.harness import MarketPlace, around
from tests.worker.lives_of_calls import LIFE_OF_A_CALL
from tests.worker.lives_of_steps import LIFE_OF_A_STEP
from tests.worker.victim import Victim
from worker.artefacts import Call
from worker.steps import OF_A_CALL, Step

SOURCES = {path.name: path.read_text() for path in Path(worker.__file__).parent.glob("*.py")}
# What an operator's commands write, the log, and a meta-model, which no task waits for.
NO_STEPS = {
    "challenger.py",
    "champion.py",
    "doctor.py",
    "keystore.py",
    "lock.py",
    "logs.py",
    "retraining.py",
    "setup.py",
    "sqlite.py",
}
WRITES = re.compile(r"store\.put|write_text|write_bytes|os\.write|replace_file|open\([^)]*[\"'][wax]")


@pytest.fixture
def place(devnet, tmp_path) -> MarketPlace:
    """On a market that gives time to die often, and does not forgive what is late."""
    terms = replace(devnet.deployment.parameters, answer_time_secs=900, arbiter_timeout_secs=4_000)
    deployment = deploy(MarketPlace(devnet, tmp_path / "other").rpc, dev_account(5), terms)
    return MarketPlace(replace(devnet, deployment=deployment), tmp_path)


@pytest.fixture
def victim(place, spawn) -> Iterator[Victim]:
    with ExitStack() as rivals:
        yield Victim(place, spawn, place.config(), rivals)


@pytest.mark.parametrize("call", Call, ids=lambda call: call.value)
def test_a_worker_killed_at_each_step_of_a_transaction_does_it_once(victim, call):
    LIFE_OF_A_CALL[call](victim, call)
    assert victim.died_at >= set(around(*OF_A_CALL, call=call))


@pytest.mark.parametrize("step", [step for step in Step if step not in OF_A_CALL], ids=lambda step: step.name)
def test_a_worker_killed_at_any_other_step_ends_with_the_same_money(victim, step):
    LIFE_OF_A_STEP[step](victim, step)
    assert victim.died_at >= set(around(step))


def test_every_step_is_taken_somewhere_in_the_code_and_nothing_is_written_outside_of_one():
    everything = "".join(source for name, source in SOURCES.items() if name != "steps.py")
    assert set(re.findall(r"\bStep\.([A-Z_]+)", everything)) == set(Step.__members__)
    writers = {name for name, source in SOURCES.items() if WRITES.search(source)}
    assert {name for name in writers - NO_STEPS if "step(Step." not in SOURCES[name]} == set()
