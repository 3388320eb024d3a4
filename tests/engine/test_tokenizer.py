"""The light tokenizer says what transformers' AutoTokenizer says, for the demo model and for one with every twist."""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from engine.base import ModelUnreadable
from engine.tokenizer import ChatTemplateError, Tokenizer, UnreadableText
from tests.engine.support import MODEL_DIR

TEXTS = [
    "12+34",
    "Once upon a time there was a mill.",
    "  leading and   inner spaces \n\n new lines\t",
    "<|user|>not a real turn<|end|>",
    "Überraschung, 日本語, 🙂, \u200b, e\u0301",
    "",
    "x" * 3000,
]
CHATS = [
    [{"role": "user", "content": "12+34"}],
    [{"role": "system", "content": "Answer briefly."}, {"role": "user", "content": "sort 3 1 2"}],
    [
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": "c"},
        {"role": "user", "content": "{{ 7 * 7 }} {% raw %}"},
    ],
]
TWISTED_TEMPLATE = """
{%- if messages[0].role == 'forbidden' %}{{ raise_exception('no ' + messages[0].role) }}{% endif %}
{{- bos_token }}
{% for message in messages %}
    {% if loop.index > 5 %}{% break %}{% endif %}
    {% if message.role == 'assistant' %}
{% generation %}[{{ message.content | trim }}]{% endgeneration %}
    {% else %}
({{ message | tojson }})
    {% endif %}
{% endfor %}
{% if add_generation_prompt %}>{{ eos_token }}{% endif %}
"""


@pytest.fixture(scope="session")
def auto_tokenizer() -> Any:
    for companion in ("torchvision", "torchaudio", "torchcodec"):
        sys.modules.setdefault(companion, None)  # type: ignore[arg-type]
    from transformers import AutoTokenizer

    return AutoTokenizer


@pytest.fixture(scope="session")
def demo(auto_tokenizer: Any) -> tuple[Tokenizer, Any]:
    return Tokenizer(MODEL_DIR), auto_tokenizer.from_pretrained(MODEL_DIR, local_files_only=True)


@pytest.fixture(scope="session")
def twisted(auto_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Any]:
    """A byte-level BPE that adds a begin token, has its template in a file and special tokens as objects."""
    model_dir = tmp_path_factory.mktemp("twisted")
    write_twisted_model(model_dir)
    return Tokenizer(model_dir), auto_tokenizer.from_pretrained(model_dir, local_files_only=True)


def write_twisted_model(model_dir: Path) -> None:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    tokenizer.enable_truncation(8)
    tokenizer.save(str(model_dir / "tokenizer.json"))
    special = {"content": "<s>", "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    (model_dir / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": {"__type": "AddedToken", **special},
                "eos_token": "</s>",
                "model_max_length": 10**30,
            }
        )
    )
    (model_dir / "chat_template.jinja").write_text(TWISTED_TEMPLATE)
    (model_dir / "config.json").write_text(
        json.dumps({"model_type": "llama", "max_position_embeddings": 512, "eos_token_id": [1, 7]})
    )


def chat_ids(theirs: Any, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
    return tuple(theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))


@pytest.mark.parametrize("name", ["demo", "twisted"])
@pytest.mark.parametrize("text", TEXTS)
def test_a_prompt_has_the_ids_that_transformers_gives_it(
    name: str, text: str, request: pytest.FixtureRequest
):
    ours, theirs = request.getfixturevalue(name)
    assert ours.encode_prompt(text) == tuple(theirs(text)["input_ids"])


@given(st.text(max_size=60))
@settings(deadline=None)
def test_any_prompt_has_the_ids_that_transformers_gives_it(demo: tuple[Tokenizer, Any], text: str):
    ours, theirs = demo
    ids = ours.encode_prompt(text)
    assert ids == tuple(theirs(text)["input_ids"])
    assert ours.decode(ids) == theirs.decode(list(ids), skip_special_tokens=True)


@pytest.mark.parametrize("name", ["demo", "twisted"])
@pytest.mark.parametrize("chat", CHATS)
def test_a_chat_has_the_ids_that_transformers_gives_it(
    name: str, chat: list[dict[str, str]], request: pytest.FixtureRequest
):
    ours, theirs = request.getfixturevalue(name)
    assert ours.encode_chat(chat) == chat_ids(theirs, chat)


@given(st.lists(st.integers(0, 399), max_size=40))
@settings(deadline=None)
def test_any_ids_decode_to_what_transformers_makes_of_them(twisted: tuple[Tokenizer, Any], ids: list[int]):
    ours, theirs = twisted
    assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


def test_what_the_directory_says_about_the_model(demo: tuple[Tokenizer, Any], twisted: tuple[Tokenizer, Any]):
    ours, theirs = demo
    assert ours.vocab_size == len(theirs)
    assert ours.model_max_len == theirs.model_max_length
    assert ours.eos_token_ids == {theirs.eos_token_id}
    assert twisted[0].model_max_len == 512
    assert twisted[0].eos_token_ids == {1, 7}


def test_a_refusing_template_and_a_missing_one_are_clear_errors(
    demo: tuple[Tokenizer, Any], twisted: tuple[Tokenizer, Any], tmp_path: Path
):
    with pytest.raises(ChatTemplateError, match="no forbidden"):
        twisted[0].encode_chat([{"role": "forbidden", "content": ""}])
    with pytest.raises(ChatTemplateError):
        twisted[0].encode_chat([])
    bare = tmp_path / "bare"
    shutil.copytree(MODEL_DIR, bare)
    config = json.loads((bare / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(config))
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(ChatTemplateError, match="no chat template"):
        Tokenizer(bare).encode_chat(CHATS[0])


def test_a_template_cannot_reach_out_of_its_sandbox(tmp_path: Path):
    write_twisted_model(tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(ChatTemplateError, match="unsafe"):
        Tokenizer(tmp_path).encode_chat(CHATS[0])


def test_half_a_surrogate_pair_is_refused(demo: tuple[Tokenizer, Any]):
    with pytest.raises(UnreadableText, match="character 2"):
        demo[0].encode_prompt("ab\ud800")
    with pytest.raises(UnreadableText):
        demo[0].encode_chat([{"role": "user", "content": "\udfff"}])


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("tokenizer.json", None, "tokenizer.json: missing"),
        ("tokenizer.json", "{}", "not a tokenizer"),
        ("config.json", None, "config.json"),
        ("config.json", "{", "not valid JSON"),
        ("tokenizer_config.json", "[]", "not an object"),
        ("chat_template.jinja", "{% if %}", "chat template is not valid"),
    ],
)
def test_a_broken_model_directory_names_the_file(tmp_path: Path, file: str, content: str | None, words: str):
    write_twisted_model(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(content)
    with pytest.raises(ModelUnreadable, match=words):
        Tokenizer(tmp_path)
