"""Tasks, artefacts and policies for tests, sound unless a test says otherwise."""

from dataclasses import replace

from protocol.lifecycle import TaskState
from protocol.request import Request
from worker.artefacts import Artefact, Input, InputFacts, Stage
from worker.policy import Clock, Policy
from worker.task import Task
from worker.view import View

ME = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
MODEL = b"\x11" * 32
NOW = 1_800_000_000
AGE_RATE_WEI = 10**9
FACTS = InputFacts(
    prompts=1, servable_prompts=1, prompt_tokens=20, declared_tokens=100, max_output_tokens=100
)
CLOCK = Clock(chain_secs=NOW, wall_secs=float(NOW))
POLICY = Policy(
    models=frozenset({MODEL}),
    bond_unit_units=1_000_000,
    max_bond_units=10_000_000,
    max_output_tokens=1 << 20,
    units_per_engine_sec=0.0,
    low_output_share=0.25,
    gas_per_task=45_000,
    base_fee_wei=10**9,
    lease_margin=1.5,
    spare_secs=3,
    batch_tasks=4,
    batch_prompts=64,
    batch_secs=60.0,
    fetch_ahead=8,
    fetch_ahead_tokens=1_000,
    attempts=3,
)


def request(**changes: object) -> Request:
    sound = Request(
        requester=OTHER,
        salt=bytes(32),
        model_id=MODEL,
        input_digest=b"\x22" * 32,
        params_digest=b"\x33" * 32,
        max_fee_units=1_000_000,
        flat_percent=10,
        tip_units=50_000,
        max_output_tokens=100,
        bond_units=1,
        deadline=NOW + 3600,
        lease_secs=60,
        input_uri="inputs/" + "22" * 32,
    )
    return replace(sound, **changes)  # type: ignore[arg-type]


def task(
    number: int = 1, *, state: TaskState = TaskState.OPEN, holder: str = "", until: int = 0, **changes: object
) -> Task:
    made = request(**changes)
    return Task(
        id=number.to_bytes(32, "big"),
        request=made,
        priced_at=NOW - 10,
        tip_units=made.tip_units,
        submitted_block=1,
        submitted_at=NOW - 10,
        state=state,
        holder=holder,
        until=until,
        mine=holder == ME,
    )


def leased(number: int = 1, until: int = NOW + 60, **changes: object) -> Task:
    return task(number, state=TaskState.LEASED, holder=ME, until=until, **changes)


def posted(number: int = 1, until: int = NOW - 1) -> Task:
    return task(number, state=TaskState.POSTED, holder=ME, until=until)


def view(*tasks: Task, free_units: int = 10**12) -> View:
    made = View(ME, AGE_RATE_WEI, free_units=free_units)
    made.load(tasks, ())
    return made


def ready(**changes: object) -> Artefact:
    return replace(Artefact(input=Input.READY, facts=FACTS), **changes)  # type: ignore[arg-type]


def at_stage(stage: Stage, **changes: object) -> Artefact:
    return ready(stage=stage, **changes)
