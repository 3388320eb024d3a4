"""An answer passes only if every hash leads from it to the chain; each forgery has its failing check."""

from dataclasses import replace

import pytest

from protocol.batchfile import InputFile, OutputEntry, OutputFile, Prompt, write_output
from protocol.domain import Domain
from protocol.lifecycle import TaskState
from tests.wallet.makers import DOMAIN, NOW, document, posted, task
from wallet.answer import (
    Answer,
    AnswerNotGenuine,
    NoAnswerEver,
    NoAnswerYet,
    read_answer,
    require_genuine,
    require_posted,
)

ENTRIES = (
    OutputEntry("a", "one", (1, 2, 3), "stop", 4),
    OutputEntry("b", "", (), "error", 0, error="prompt longer than the window"),
)
ASKED = InputFile(bytes(32), (Prompt("a", prompt="x"), Prompt("b", prompt="y")))


def decode(token_ids) -> str:
    return {(1, 2, 3): "one", (): ""}[tuple(token_ids)]


def honest():
    return posted(*ENTRIES)


def failed(**changes) -> tuple[str, ...]:
    """Names of the checks that fail once parts of an honest answer are exchanged."""
    view, batch, output, receipt = honest()
    parts = {"task": view, "batch": batch, "output_data": output, "receipt_data": receipt, "domain": DOMAIN}
    return read_answer(**{**parts, "asked": ASKED, "decode": decode, **changes}).failed


def test_an_honest_answer_passes_every_check():
    view, batch, output, receipt = honest()
    answer = read_answer(DOMAIN, view, batch, output, receipt, ASKED, decode)
    require_genuine(answer)
    assert {check.passed for check in answer.checks} == {True}
    assert answer.output.entries == ENTRIES


def test_what_could_not_be_checked_is_said():
    answer = read_answer(DOMAIN, *honest())
    require_genuine(answer)
    assert answer.missing == ("order", "text")


def test_another_token_fails_the_output_root():
    changed = (replace(ENTRIES[0], token_ids=(1, 2, 4)), ENTRIES[1])
    assert failed(output_data=write_output(changed), decode=None) == ("output",)


def test_another_text_for_the_same_tokens_fails_the_decoding():
    changed = (replace(ENTRIES[0], text="two"), ENTRIES[1])
    assert failed(output_data=write_output(changed)) == ("text",)


def test_answers_handed_to_the_wrong_prompts_fail_the_order():
    swapped = (replace(ENTRIES[0], custom_id="b"), replace(ENTRIES[1], custom_id="a"))
    assert failed(output_data=write_output(swapped)) == ("order",)


def test_a_consistent_receipt_that_was_never_posted_fails_against_the_chain():
    other = (OutputEntry("a", "one", (1, 2, 3, 1), "stop", 4), ENTRIES[1])
    forged = document(bytes([7]) * 32, OutputFile(other)).encoded()
    assert "receipt" in failed(output_data=write_output(other), receipt_data=forged, decode=None)


def test_a_receipt_with_other_engine_facts_fails_its_digests():
    view = honest()[0]
    made = document(view.task_id, OutputFile(ENTRIES))
    assert failed(receipt_data=replace(made, engine={"engine": "vllm"}).encoded()) == ("receipt digests",)


def test_a_receipt_of_another_market_fails():
    assert "receipt" in failed(domain=Domain(1, DOMAIN.market))


def test_a_batch_that_does_not_hash_to_the_root_fails():
    batch = honest()[1]
    assert failed(batch=batch[::-1][:1]) == ("batch",)
    assert failed(batch=batch[:1]) == ("batch",)


def test_an_answer_with_a_failing_check_is_refused_by_name():
    view, batch, output, receipt = honest()
    answer = read_answer(DOMAIN, view, batch[:1], output, receipt)
    assert isinstance(answer, Answer)
    with pytest.raises(AnswerNotGenuine, match="batch"):
        require_genuine(answer)


@pytest.mark.parametrize(
    "view", [task(1), task(2, TaskState.LEASED, until=NOW), task(3, TaskState.LEASED, until=NOW - 1)]
)
def test_no_answer_yet_is_worth_another_try(view):
    with pytest.raises(NoAnswerYet) as caught:
        require_posted(view, NOW)
    assert caught.value.exit_status == 3


@pytest.mark.parametrize("view", [task(1, deadline=NOW - 1), task(2, TaskState.REFUNDED)])
def test_an_ended_task_is_not_worth_waiting_for(view):
    with pytest.raises(NoAnswerEver) as caught:
        require_posted(view, NOW)
    assert caught.value.exit_status == 2
