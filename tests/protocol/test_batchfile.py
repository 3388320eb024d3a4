"""Input and output files: what is written is read back, and what is malformed is named with its line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.batchfile import (
    ROLES,
    FileLimits,
    MalformedInput,
    MalformedOutput,
    Message,
    OutputEntry,
    Prompt,
    read_input,
    read_output,
    write_input,
    write_output,
)
from protocol.merkle import output_root
from protocol.openai_batch import read_openai_batch
from protocol.params import MAX_OUTPUT_TOKENS, GenerationParams
from protocol.receipt import TableRow

SALT = bytes(range(32))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
IDS = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=12)
MESSAGES = st.builds(Message, st.sampled_from(ROLES), TEXT)
BUDGETS = st.none() | st.integers(1, MAX_OUTPUT_TOKENS)
PROMPTS = st.builds(
    Prompt, IDS, messages=st.lists(MESSAGES, min_size=1, max_size=3).map(tuple), max_tokens=BUDGETS
) | st.builds(Prompt, IDS, prompt=TEXT.filter(bool), max_tokens=BUDGETS)
TOKENS = st.lists(st.integers(0, 2**32 - 1), max_size=9).map(tuple)
ENTRIES = st.builds(
    OutputEntry,
    IDS,
    TEXT,
    TOKENS,
    st.sampled_from(["stop", "length"]),
    st.integers(0, 999),
    is_chat=st.booleans(),
) | st.builds(OutputEntry, IDS, st.just(""), st.just(()), st.just("error"), st.just(0), error=TEXT)

HEADER = b'{"quern":1,"salt":"0x' + SALT.hex().encode() + b'"}\n'


def line(**fields):
    return json.dumps({"custom_id": "a", "body": {"prompt": "hi"}} | fields).encode() + b"\n"


def outcome(read, refusal, data):
    """What reading gives, or the refusal's line; any other exception fails the test."""
    try:
        return repr(read(data))
    except refusal as error:
        return str(error)


def body(**fields):
    return line(body=fields)


@given(
    st.binary(min_size=32, max_size=32),
    st.lists(PROMPTS, min_size=1, max_size=6, unique_by=lambda p: p.custom_id),
)
def test_an_input_is_read_back_as_it_was_written(salt, prompts):
    data = write_input(salt, prompts)
    found = read_input(data)
    assert (found.salt, found.prompts) == (salt, tuple(prompts))
    assert write_input(found.salt, found.prompts) == data


@given(st.lists(ENTRIES, max_size=6, unique_by=lambda entry: entry.custom_id))
def test_an_output_is_read_back_as_it_was_written(entries):
    data = write_output(entries)
    found = read_output(data)
    joined = [token for entry in entries for token in entry.token_ids]
    assert found.entries == tuple(entries)
    assert found.root() == output_root(joined)
    assert found.table() == tuple(TableRow(len(entry.token_ids), entry.finish_reason) for entry in entries)
    assert found.output_tokens() == len(joined)
    assert found.prompt_tokens() == sum(entry.prompt_tokens for entry in entries)
    assert write_output(found.entries) == data


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(data):
    for read, refusal in ((read_input, MalformedInput), (read_output, MalformedOutput)):
        for start in (b"", HEADER):
            said = outcome(read, refusal, start + data)
            assert "\n" not in said


@given(st.data())
def test_a_changed_byte_is_read_or_refused(data):
    good = HEADER + line() + line(custom_id="b", body={"messages": [{"role": "user", "content": "x"}]})
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + data.draw(st.binary(min_size=1, max_size=1)) + good[at + 1 :]
    assert outcome(read_input, MalformedInput, bad)


@pytest.mark.parametrize(
    ("lines", "number", "word"),
    [
        (b"", 1, "header"),
        (HEADER, 0, "prompts"),
        (line(), 1, "header"),
        (b'{"quern":2,"salt":"0x' + b"00" * 32 + b'"}\n', 1, "header"),
        (b'{"quern":1,"salt":"0x00"}\n', 1, "salt"),
        (b"\xef\xbb\xbf" + HEADER + line(), 1, "byte order mark"),
        (HEADER + b"\n" + line(), 2, "json"),
        (HEADER + b"[]\n", 2, "one JSON object"),
        (HEADER + line() + b'{"custom_id":\n', 3, "json"),
        (HEADER + line() + line(), 3, "each line its own"),
        (HEADER + line(custom_id=""), 2, "custom_id"),
        (HEADER + line(custom_id=7), 2, "custom_id"),
        (HEADER + line(custom_id="x" * 129), 2, "custom_id"),
        (HEADER + line(custom_id="a\x1b[2J"), 2, "custom_id"),
        (HEADER + line(custom_id="a\u202eb"), 2, "custom_id"),
        (HEADER + line(method="GET"), 2, "method"),
        (HEADER + line(url="/v1/embeddings"), 2, "url"),
        (HEADER + line(priority="high"), 2, "priority"),
        (HEADER + line(body=None), 2, "body"),
        (HEADER + body(), 2, "either"),
        (HEADER + body(prompt="a", messages=[]), 2, "either"),
        (HEADER + body(prompt=""), 2, "prompt"),
        (HEADER + body(prompt=["a"]), 2, "prompt"),
        (HEADER + body(prompt="a", temperature=0.5), 2, "temperature"),
        (HEADER + body(prompt="a", max_tokens=0), 2, "max_tokens"),
        (HEADER + body(prompt="a", max_tokens=True), 2, "max_tokens"),
        (HEADER + body(prompt="a", max_tokens=10**12), 2, "max_tokens"),
        (HEADER + body(prompt="a", max_tokens="9"), 2, "max_tokens"),
        (HEADER + body(messages=[]), 2, "messages"),
        (HEADER + body(messages="hi"), 2, "messages"),
        (HEADER + body(messages=[{"role": "tool", "content": "x"}]), 2, "messages"),
        (HEADER + body(messages=[{"role": "user", "content": ["x"]}]), 2, "messages"),
        (HEADER + body(messages=[{"role": "user", "content": "x", "name": "n"}]), 2, "messages"),
        (HEADER + b'{"custom_id":"a","body":{"prompt":"\xff"}}\n', 2, "utf-8"),
        (HEADER + b'{"custom_id":"a","body":{"prompt":"\\ud800"}}\n', 2, "json"),
        (HEADER + b'{"custom_id":"a","body":' + b"[" * 99 + b"]" * 99 + b"}\n", 2, "nested"),
    ],
)
def test_a_malformed_input_names_its_line(lines, number, word):
    with pytest.raises(MalformedInput, match=word) as caught:
        read_input(lines)
    assert caught.value.line == number
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (FileLimits(max_bytes=50), "size"),
        (FileLimits(max_line_bytes=80), "size"),
        (FileLimits(max_prompts=1), "prompts"),
    ],
)
def test_an_input_beyond_the_limits_is_refused(limits, word):
    data = HEADER + line() + line(custom_id="b", body={"prompt": "x" * 99})
    assert len(read_input(data).prompts) == 2
    with pytest.raises(MalformedInput, match=word):
        read_input(data, limits)


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.pop("custom_id"),
        lambda answer: answer.update(error={"message": "x"}),
        lambda answer: answer["response"]["body"].update(choices=[]),
        lambda answer: answer["response"]["body"]["choices"][0].update(token_ids=[1]),
        lambda answer: answer["response"]["body"]["choices"][0].update(token_ids=[1, 2.5]),
        lambda answer: answer["response"]["body"]["choices"][0].update(token_ids=[1, 2**32]),
        lambda answer: answer["response"]["body"]["choices"][0].update(token_ids=[1, True]),
        lambda answer: answer["response"]["body"]["choices"][0].update(finish_reason="bored"),
        lambda answer: answer["response"]["body"]["choices"][0].pop("message"),
        lambda answer: answer["response"]["body"]["usage"].update(prompt_tokens=-1),
        lambda answer: answer["response"]["body"]["usage"].update(completion_tokens=3),
    ],
)
def test_a_malformed_output_is_refused(change):
    good = write_output([OutputEntry("a", "hi", (1, 2), "stop", 5)])
    assert read_output(good).output_tokens() == 2
    answer = json.loads(good)
    change(answer)
    with pytest.raises(MalformedOutput) as caught:
        read_output(json.dumps(answer).encode())
    assert caught.value.line == 1


def test_a_repeated_id_in_an_output_is_refused():
    with pytest.raises(MalformedOutput, match="repeated"):
        read_output(write_output([OutputEntry("a", "", (), "stop", 1)] * 2))


def test_the_budget_of_a_file_is_the_sum_over_its_prompts():
    found = read_input(write_input(SALT, [Prompt("a", prompt="x", max_tokens=7), Prompt("b", prompt="y")]))
    assert found.max_output_tokens(GenerationParams(max_tokens=100)) == 107


def openai(custom_id="a", **fields):
    content = {"model": "any", "messages": [{"role": "user", "content": "hi"}]} | fields
    request = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": content}
    return json.dumps(request).encode() + b"\n"


def test_a_users_batch_file_gives_its_prompts_and_its_sampling():
    data = openai("a", temperature=0.5, stop="\n") + openai(
        "b", temperature=0.5, stop="\n", max_completion_tokens=9
    )
    found = read_openai_batch(data)
    assert [prompt.custom_id for prompt in found.prompts] == ["a", "b"]
    assert [prompt.max_tokens for prompt in found.prompts] == [None, 9]
    assert GenerationParams.from_fields({"max_tokens": 5, **found.sampling}).stop == ("\n",)


@pytest.mark.parametrize(
    ("data", "number"),
    [
        (b"", 0),
        (openai("a", temperature=0.5) + openai("b", temperature=0.6), 2),
        (openai("a") + openai("a"), 2),
        (openai("a") + openai("b", tools=[]), 2),
        (openai("a", stream=True), 1),
        (openai("a") + b"{]\n", 2),
    ],
)
def test_what_a_task_cannot_say_is_refused_with_its_line(data, number):
    with pytest.raises(MalformedInput) as caught:
        read_openai_batch(data)
    assert caught.value.line == number
