"""An honest job passes every step; each way to cheat fails the step that is there for it."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from auditor.app import Auditor, audit
from auditor.case import Case, History, NoSuchTask
from auditor.chain_steps import recompute_id, replay_and_compare
from auditor.content_steps import check_content
from auditor.findings import Lacking, Refuted
from auditor.report import AuditReport, Outcome
from chain.store import ContentStore, input_key, meta_model_key, output_key, receipt_key
from engine.base import Engine
from metainf import SelectionRecord, Selector
from metainf.model import MetaModel
from protocol.batchfile import OutputEntry
from protocol.digest import JsonValue
from protocol.lifecycle import TaskSubmitted
from protocol.params import GenerationParams
from protocol.request import task_id
from tests.auditor.support import MODEL_DIR, PARAMS, Bench, Entries, first_changed, with_first, with_text

QUESTIONS = ("47+85=?", "sort(52914)=?")


def audited(
    bench: Bench, served: bytes, engine: Engine | None, store: ContentStore | None = None
) -> AuditReport:
    reader = store or ContentStore(bench.store.url, read_only=True)
    return Auditor(bench.rpc, bench.devnet.deployment, reader, MODEL_DIR, engine).audit(served)


def failed(report: AuditReport) -> list[int]:
    return [step.number for step in report.steps if step.outcome is Outcome.FAILED]


def lacking(report: AuditReport) -> list[int]:
    return [step.number for step in report.steps if step.outcome is Outcome.LACKING]


def test_an_honest_job_passes_all_seven_steps(bench: Bench, second_opinion: Engine) -> None:
    report = audited(bench, bench.serve(*QUESTIONS), second_opinion)
    assert [step.number for step in report.steps] == [1, 2, 3, 4, 5, 6, 7]
    assert report.passed, report.to_text()
    assert report.exit_status == 0
    assert report.steps[6].figures["tokens"] == report.steps[2].figures["output_tokens"]


def test_the_report_for_programs_says_what_the_text_says(bench: Bench) -> None:
    report = audited(bench, bench.serve("1+1=?"), None)
    found = report.to_json()
    steps = found["steps"]
    assert isinstance(steps, list)
    assert found["passed"] is True
    assert len(steps) == 6
    for step in report.steps:
        assert step.sentence in report.to_text()


def test_an_altered_request_does_not_hash_to_its_id(bench: Bench) -> None:
    served = bench.serve("1+1=?")
    history = History.fetch(bench.rpc, bench.devnet.deployment)
    forged = tuple(
        replace(event, request=replace(event.request, tip_units=event.request.tip_units + 1))
        if isinstance(event, TaskSubmitted)
        else event
        for event in history.events
    )
    case = Case(served, replace(history, events=forged), bench.devnet.deployment, None, None)
    with pytest.raises(Refuted, match="altered"):
        recompute_id(case)


def test_a_history_with_a_gap_is_refuted(bench: Bench) -> None:
    served = bench.serve("1+1=?")
    history = History.fetch(bench.rpc, bench.devnet.deployment)
    for missing in range(len(history.events)):
        if isinstance(history.events[missing], TaskSubmitted):
            continue
        events = (*history.events[:missing], *history.events[missing + 1 :])
        case = Case(served, replace(history, events=events), bench.devnet.deployment, None, None)
        if type(history.events[missing]).__name__ in ("WorkerIndexed", "ModelAnnounced", "StoreAnnounced"):
            continue
        with pytest.raises(Refuted):
            replay_and_compare(case, bench.market)


def test_a_receipt_changed_after_the_post_is_found(bench: Bench) -> None:
    served = bench.serve("1+1=?")
    data = bench.store.get(receipt_key(served), 1 << 20)
    bench.store.put(receipt_key(served), data.replace(b'"finished_at_ms":2', b'"finished_at_ms":3'))
    assert failed(audited(bench, served, None)) == [3]


def test_an_output_changed_after_the_post_is_found(bench: Bench) -> None:
    served = bench.serve("1+1=?", "2+2=?")
    data = bench.store.get(output_key(served), 1 << 20)
    bench.store.put(output_key(served), data.replace(b'"q1"', b'"q2"'))
    assert failed(audited(bench, served, None)) == [4]


def test_a_text_that_is_not_that_of_its_tokens_is_found(bench: Bench) -> None:
    served = bench.serve("1+1=?", alter=lambda entries: with_first(entries, with_text(entries[0], "42")))
    assert failed(audited(bench, served, None)) == [4]


def test_a_prompt_left_out_though_it_fits_is_found(bench: Bench) -> None:
    left_out = OutputEntry("q0", "", (), "error", 0, error="too much work")
    served = bench.serve("1+1=?", "2+2=?", alter=lambda entries: with_first(entries, left_out))
    assert failed(audited(bench, served, None)) == [4]


def test_a_prompt_beyond_the_window_may_be_left_out(bench: Bench) -> None:
    left_out = OutputEntry("q1", "", (), "error", 0, error="does not fit")
    served = bench.serve("1+1=?", "2" * 3000, alter=lambda entries: (entries[0], left_out))
    assert failed(audited(bench, served, None)) == []


def test_an_answer_without_its_prompts_is_found(bench: Bench) -> None:
    served = bench.serve("1+1=?", "2+2=?", alter=lambda entries: entries[:1])
    assert failed(audited(bench, served, None)) == [4]


def test_another_input_in_the_store_is_found(bench: Bench) -> None:
    served = bench.serve("1+1=?")
    history = History.fetch(bench.rpc, bench.devnet.deployment)
    digest = Case(served, history, bench.devnet.deployment, None, None).submitted.request.input_digest
    data = bench.store.get(input_key(digest), 1 << 20)
    bench.store.put(input_key(digest), data.replace(b"1+1", b"1+2"))
    assert failed(audited(bench, served, None)) == [4]


@pytest.mark.parametrize(
    "uri", ["../outside", "https://[host/key", "https://host:99999/key", "ssh://host/key"]
)
def test_an_input_address_that_leads_nowhere_speaks_neither_for_nor_against(bench: Bench, uri: str) -> None:
    served = bench.serve("1+1=?")
    history = History.fetch(bench.rpc, bench.devnet.deployment)
    moved = tuple(
        replace(event, request=replace(event.request, input_uri=uri))
        if isinstance(event, TaskSubmitted)
        else event
        for event in history.events
    )
    case = Case(served, replace(history, events=moved), bench.devnet.deployment, bench.store, None)
    with pytest.raises(Lacking, match=r"address|nowhere"):
        check_content(case)


@pytest.mark.parametrize("missing", ["output", "receipt", "input", "store"])
def test_what_is_missing_speaks_neither_for_nor_against(bench: Bench, missing: str) -> None:
    served = bench.serve("1+1=?")
    folder = Path(bench.store.url.removeprefix("file://"))
    if missing == "store":
        shutil.rmtree(folder)
    elif missing == "input":
        shutil.rmtree(folder / "inputs")
    else:
        (folder / served.hex() / missing).unlink()
    report = audited(bench, served, None)
    assert failed(report) == []
    assert lacking(report)
    assert report.exit_status == 3


def test_a_choice_that_is_not_the_meta_models_is_found(bench: Bench) -> None:
    def favourite(record: dict[str, JsonValue]) -> dict[str, JsonValue]:
        candidates = record["candidates"]
        assert isinstance(candidates, list)
        other = next(item for item in candidates if isinstance(item, list) and item[0] != record["chosen"])
        return {**record, "chosen": other[0], "chosen_digest": other[1]}

    report = audited(bench, bench.serve("1+1=?", select=favourite), None)
    assert failed(report) == [5]
    assert report.exit_status == 15


def test_a_choice_made_for_another_workload_is_found(bench: Bench) -> None:
    questions = ("11+11=?", "12+12=?", "13+13=?")
    small = bench.selection(("1+1=?",), PARAMS)
    report = audited(bench, bench.serve(*questions, select=lambda _: small), None)
    assert failed(report) == [5]


def test_a_choice_by_an_unknown_meta_model_lacks_it(bench: Bench) -> None:
    served = bench.serve("1+1=?", select=lambda record: {**record, "meta_model_digest": "0x" + "ab" * 32})
    report = audited(bench, served, None)
    assert failed(report) == []
    assert lacking(report) == [5]


def chosen_by(made: MetaModel) -> Callable[[dict[str, JsonValue]], dict[str, JsonValue]]:
    def choose(found: dict[str, JsonValue]) -> dict[str, JsonValue]:
        record = SelectionRecord.from_json(found)
        return (
            Selector(made)
            .select(record.model, record.hardware, record.workload, record.state)
            .record.to_json()
        )

    return choose


def test_a_choice_by_the_workers_own_meta_model_is_made_again_from_its_store(bench: Bench) -> None:
    own = replace(MetaModel.load(), bound_log=0.25)
    bench.store.put(meta_model_key(bytes.fromhex(own.digest()[2:])), own.to_bytes())
    report = audited(bench, bench.serve("1+1=?", select=chosen_by(own)), None)
    assert report.passed, report.to_text()
    assert "the worker's own meta-model" in report.steps[4].sentence


def test_a_strangers_meta_model_that_holds_no_trees_is_no_proof(bench: Bench) -> None:
    own = replace(MetaModel.load(), bound_log=0.3)
    broken = replace(own, cost_model="CBM1")
    bench.store.put(meta_model_key(bytes.fromhex(broken.digest()[2:])), broken.to_bytes())
    named: dict[str, JsonValue] = {"meta_model_digest": broken.digest()}
    report = audited(bench, bench.serve("1+1=?", select=lambda found: chosen_by(own)(found) | named), None)
    assert failed(report) == []
    assert lacking(report) == [5]


def test_a_better_task_passed_over_is_listed(bench: Bench) -> None:
    better = bench.submit("3+3=?", tip_units=10_000)
    bench.rpc.call("evm_increaseTime", bench.devnet.deployment.parameters.inversion_grace_secs + 2)
    report = audited(bench, bench.serve("1+1=?"), None)
    assert report.passed
    listed = report.steps[5].figures["inversions"]
    assert listed == ["0x" + task_id(bench.market.domain, better).hex()]


def test_a_better_task_that_suits_the_worker_less_is_not_listed(bench: Bench) -> None:
    longer = GenerationParams(max_tokens=13)
    bench.submit("3+3=?", tip_units=10_000, params=longer)
    bench.rpc.call("evm_increaseTime", bench.devnet.deployment.parameters.inversion_grace_secs + 2)
    report = audited(bench, bench.serve("1+1=?"), None)
    assert report.steps[5].figures["inversions"] == []


def _splice(bench: Bench) -> Callable[[Entries], Entries]:
    def alter(entries: Entries) -> Entries:
        tokens = entries[0].token_ids
        return with_first(
            entries, bench.retold(entries[0], first_changed(tokens, 1, (tokens[1] + 7) % 64 + 16))
        )

    return alter


def _cut_short(bench: Bench) -> Callable[[Entries], Entries]:
    return lambda entries: with_first(entries, bench.retold(entries[0], entries[0].token_ids[:1], "length"))


def _never_stopped(bench: Bench) -> Callable[[Entries], Entries]:
    return lambda entries: with_first(entries, bench.retold(entries[0], entries[0].token_ids[:1], "stop"))


@pytest.mark.parametrize("cheat", [_splice, _cut_short, _never_stopped])
def test_tokens_that_the_model_did_not_choose_are_found(
    bench: Bench, second_opinion: Engine, cheat: Callable[[Bench], Callable[[Entries], Entries]]
) -> None:
    report = audited(bench, bench.serve(*QUESTIONS, alter=cheat(bench)), second_opinion)
    assert failed(report) == [7], report.to_text()
    assert report.exit_status == 17


def test_a_task_nobody_served_lacks_its_later_steps(bench: Bench) -> None:
    waiting = task_id(bench.market.domain, bench.submit("1+1=?"))
    report = audited(bench, waiting, None)
    assert failed(report) == []
    assert lacking(report) == [3, 4, 5, 6]


def test_without_a_copy_of_the_model_the_token_check_is_lacking(bench: Bench) -> None:
    served = bench.serve("1+1=?")
    store = ContentStore(bench.store.url, read_only=True)
    report = audit(served, bench.rpc, bench.devnet.deployment, store, "transformers", None)
    assert lacking(report) == [7]


def test_a_model_that_is_not_the_tasks_is_not_used(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(MODEL_DIR, other)
    config = other / "config.json"
    config.write_text(config.read_text() + "\n")
    served = bench.serve("1+1=?")
    reader = ContentStore(bench.store.url, read_only=True)
    report = Auditor(bench.rpc, bench.devnet.deployment, reader, other, bench.engine).audit(served)
    assert lacking(report) == [7]
    assert "config.json" in report.steps[6].sentence


def test_an_id_nobody_submitted_is_one_clear_line(bench: Bench) -> None:
    with pytest.raises(NoSuchTask, match="AUDIT-001"):
        audited(bench, b"\x07" * 32, None)
