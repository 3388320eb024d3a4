"""A question is read whole and checked before anything is paid; what is wrong with it is named."""

import json

import pytest

from protocol.batchfile import FileLimits, MalformedInput
from protocol.params import BadParams
from wallet.inputs import (
    InputUnreadable,
    NoPrompt,
    PromptTooLong,
    Window,
    check_window,
    from_batch,
    from_text,
    params_of,
    read_bytes,
    read_text,
)


def batch_line(custom_id: str, content: str = "hi", **body: object) -> str:
    messages = [{"role": "user", "content": content}]
    return json.dumps(
        {
            "custom_id": custom_id,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"messages": messages, **body},
        }
    )


def words(prompt) -> int:
    return len((prompt.prompt or " ".join(message.content for message in prompt.messages)).split())


def test_a_text_becomes_one_chat_turn_after_the_system_message():
    question = from_text("What is 2 + 2?", params_of({}), system="Be short.")
    assert question.prompts[0].chat() == [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "What is 2 + 2?"},
    ]


def test_a_plain_text_goes_on_without_a_template():
    assert from_text("Once", params_of({}), is_chat=False).prompts[0].prompt == "Once"


def test_a_question_of_blanks_is_refused():
    with pytest.raises(NoPrompt):
        from_text(" \n", params_of({}))


def test_a_batch_keeps_its_ids_its_sampling_and_its_token_limits(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(
        batch_line("a", temperature=0.5, model="x")
        + "\n"
        + batch_line("b", temperature=0.5, max_tokens=7)
        + "\n"
    )
    question = from_batch(path, {"max_tokens": 100})
    assert [prompt.custom_id for prompt in question.prompts] == ["a", "b"]
    assert question.params.temperature == 0.5
    assert question.max_output_tokens == 107


def test_a_malformed_line_is_named_by_its_number(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(batch_line("a") + "\n{broken\n")
    with pytest.raises(MalformedInput, match="line 2"):
        from_batch(path, {})


def test_a_sampling_option_overrides_the_file_and_is_checked(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text(batch_line("a", temperature=0.5) + "\n")
    assert from_batch(path, {"temperature": 0.0}).params.greedy
    with pytest.raises(BadParams, match="temperature"):
        from_batch(path, {"temperature": 9.0})


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe"])
def test_a_file_without_text_is_refused_by_name(tmp_path, content):
    path = tmp_path / "prompt.txt"
    path.write_bytes(content)
    with pytest.raises(InputUnreadable, match=r"prompt\.txt"):
        read_text(path)


def test_a_missing_and_an_oversized_file_are_refused(tmp_path):
    with pytest.raises(InputUnreadable, match="No such file"):
        read_text(tmp_path / "absent.txt")
    (tmp_path / "big.txt").write_bytes(b"x" * 11)
    with pytest.raises(InputUnreadable, match="larger than 10 bytes"):
        read_bytes(tmp_path / "big.txt", FileLimits(max_bytes=10))


def test_a_prompt_must_leave_the_window_room_for_an_answer():
    question = from_text("one two three", params_of({}))
    assert check_window(question, Window(4, words)) == 3
    with pytest.raises(PromptTooLong, match="window is 3 tokens"):
        check_window(question, Window(3, words))
