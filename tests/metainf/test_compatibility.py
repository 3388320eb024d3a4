"""No invalid combination gets to an engine, no valid one is kept from it; for real, by vLLM's own configuration."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metainf import HardwareFacts, ModelFacts, catalogue
from metainf.catalogue import EXTRAS
from metainf.compatibility import Surroundings, offered, offers, refusals
from metainf.devices import CPU, CUDA, DEVICES
from metainf.grammar import build, expand
from metainf.memory import Memory
from metainf.model import SHIPPED_TABLE
from metainf.table import OK, read_table
from tests.checkout import ROOT
from tests.metainf.makers import MACHINE, MODEL

DEMO = ROOT / "models" / "quern-demo"
HERE = Surroundings("cpu", "0.32.0")
H200 = Surroundings("cuda", "0.26.0", EXTRAS, compute_capability=(9, 0))
GPU = HardwareFacts("cuda", "NVIDIA H200", 1, 141 << 30, 16 << 30, 4_800_000_000_000, 989_000_000_000_000)
LLAMA_8B = ModelFacts(
    8_030_000_000, 32, 4096, 14336, 32, 8, 128, 128256, "bfloat16", 2, 8192, experts=0, random_weights=True
)


def args(strategy) -> dict[str, Any]:
    return dict(strategy.engine_args)


def ngram_args() -> dict[str, Any]:
    return {"speculative_config": args(build(CPU, "ngram-4"))["speculative_config"]}


def option_sets(device):
    """Any choice of at most one option of each axis, as names."""
    return st.tuples(
        *(st.none() | st.sampled_from([o.name for o in axis.options]) for axis in device.axes)
    ).map(lambda names: [name for name in names if name is not None])


def test_every_record_of_the_catalogue_is_offered_where_it_is_declared_for():
    for where in (HERE, H200, replace(H200, vllm_version="0.32.0")):
        for offer in offers(catalogue(where.device, where.vllm_version, where.extras), where):
            assert offer.refusals == (), offer.strategy.name


@pytest.mark.parametrize(
    ("strategy", "where", "reason"),
    [
        (build(CPU, "block-16"), HERE, "multiples of 32"),
        (build(CPU, "suffix-24"), HERE, "arctic_inference"),
        (build(CPU, "draft-4"), HERE, "lists no draft"),
        (build(CPU, "kv-fp8"), HERE, "fp8 KV cache"),
        (build(CPU, "int8-weights"), HERE, "quantised by int8"),
        (
            build(CPU, "int8-weights"),
            replace(HERE, quantizations=("int8_per_channel_weight_only",), model=MODEL),
            "bfloat16 or float16, not float32",
        ),
        (build(CPU, "async"), HERE, "off on a CPU"),
        (
            replace(build(CUDA, "ngram-4"), engine_args=dict(CUDA.default) | ngram_args()),
            H200,
            "does not go with ngram",
        ),
        (build(CPU, "unchunked", "chunk-256"), replace(HERE, model=MODEL), "no whole prompt of 1024"),
        (build(CUDA, "chunk-512"), H200, "too small for 1024 sequences"),
        (build(CUDA, "tp-2"), H200, "needs 2 devices, not 1"),
        (
            build(CUDA, "tp-8"),
            replace(H200, devices=8, model=replace(LLAMA_8B, heads=28)),
            "28 attention heads",
        ),
        (build(CUDA, "fp8"), replace(H200, quantizations=("fp8",), compute_capability=(8, 0)), "8.9"),
        (build(CUDA, "seqs-32"), HERE, "made for cuda, not cpu"),
        (build(CPU, "seqs-8"), replace(HERE, vllm_version="0.31.0"), "declared for vLLM"),
        (
            build(CPU),
            replace(HERE, model=MODEL, hardware=replace(MACHINE, kv_cache_bytes=1 << 20)),
            "holds no sequence",
        ),
        (
            build(CUDA),
            replace(H200, model=LLAMA_8B, hardware=replace(GPU, memory_bytes=24 << 30)),
            f"of {24 << 30}",
        ),
    ],
)
def test_a_strategy_known_to_be_invalid_is_refused_with_the_reason(strategy, where, reason):
    assert any(reason in refusal for refusal in refusals(strategy, where)), refusals(strategy, where)


def test_a_listed_variant_or_draft_lets_its_strategies_through():
    listed = replace(
        H200, quantizations=("fp8",), kv_dtypes=("fp8",), draft=True, model=LLAMA_8B, hardware=GPU
    )
    for names in (["fp8"], ["kv-fp8"], ["fp8", "kv-fp8"], ["draft-4"]):
        assert refusals(build(CUDA, *names), listed) == ()
        assert refusals(build(CUDA, *names), H200) != ()


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
def test_the_grammar_expands_to_distinct_names_digests_and_arguments(device):
    found = list(expand(device, 2))
    assert len(found) > 100
    for distinct in (
        [strategy.name for strategy in found],
        [strategy.digest() for strategy in found],
        [json.dumps(dict(strategy.engine_args), sort_keys=True) for strategy in found],
    ):
        assert [value for value, count in Counter(distinct).items() if count > 1] == []
    assert [strategy.digest() for strategy in expand(device, 2)] == [strategy.digest() for strategy in found]


@pytest.mark.parametrize("device", DEVICES.values(), ids=lambda device: device.name)
def test_the_catalogues_combinations_are_those_of_the_grammar(device):
    version = "0.32.0"
    expanded = {strategy.name: strategy for strategy in expand(device, 2)}
    named = [s for s in catalogue(device.name, version, EXTRAS) if not s.name.startswith(("vllm-", "paper-"))]
    assert len(named) >= 9
    for strategy in named:
        assert expanded[strategy.name].digest() == strategy.digest()


@given(st.data(), st.sampled_from(list(DEVICES.values())))
def test_a_combination_has_one_name_and_digest_in_whatever_order_it_is_asked_for(data, device):
    names = data.draw(option_sets(device))
    shuffled = data.draw(st.permutations(names))
    assert build(device, *names).digest() == build(device, *shuffled).digest()
    assert set(build(device, *names).engine_args) >= set(device.default)


@given(st.data(), st.sampled_from([HERE, H200]))
def test_a_strategy_is_refused_for_its_arguments_whatever_its_name_and_none_gets_through_against_a_rule(
    data, where
):
    device = DEVICES[where.device]
    names = data.draw(option_sets(device))
    strategy = build(device, *names)
    copied = replace(strategy, name="another name", description="other words")
    assert refusals(copied, where) == refusals(strategy, where)
    if not refusals(strategy, where):
        arguments = args(strategy)
        assert arguments["block_size"] % (32 if where.device == "cpu" else 16) == 0
        assert arguments["max_num_batched_tokens"] >= arguments["max_num_seqs"]
        assert arguments.get("quantization") is None
        assert arguments["kv_cache_dtype"] == "auto"
        assert arguments["tensor_parallel_size"] * arguments["pipeline_parallel_size"] == 1
        speculative = arguments["speculative_config"]
        assert not (arguments["async_scheduling"] and speculative and speculative["method"] != "ngram_gpu")


def test_two_options_of_one_axis_are_no_strategy():
    for axis in CPU.axes:
        for one, other in combinations(axis.options, 2):
            with pytest.raises(ValueError, match="at most one option"):
                build(CPU, one.name, other.name)


def test_an_8b_model_needs_sixteen_gigabytes_for_weights_and_its_cache_holds_what_it_should():
    memory = Memory.of(LLAMA_8B, GPU, build(CUDA))
    assert 15e9 < memory.weight_bytes < 17e9
    # 2 (key, value) x 32 layers x 8 heads x 128 x 2 bytes.
    assert memory.kv_bytes_per_token == 131072
    assert memory.kv_tokens == 131072
    halved = Memory.of(LLAMA_8B, GPU, build(CUDA, "tp-2"))
    assert halved.weight_bytes == memory.weight_bytes // 2
    assert halved.kv_tokens == 2 * memory.kv_tokens
    assert Memory.of(LLAMA_8B, GPU, build(CUDA, "fp8")).weight_bytes < 0.6 * memory.weight_bytes
    assert Memory.of(LLAMA_8B, GPU, build(CUDA, "kv-fp8")).kv_tokens == 2 * memory.kv_tokens


def resolve(strategies):
    """What vLLM's own configuration makes of each on the demo model: nothing, or its error."""
    program = ROOT / "tests" / "metainf" / "resolve_configs.py"
    asked = json.dumps([[s.name, dict(s.arguments_for("float32", 256 << 20, str(DEMO)))] for s in strategies])
    done = subprocess.run(
        [sys.executable, str(program), str(DEMO)],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_vllm_accepts_every_combination_that_is_offered_and_its_arguments_unchanged():
    where = replace(HERE, model=ModelFacts.from_dir(DEMO), hardware=MACHINE)
    passed = list(offered(expand(CPU, 2), where))
    assert len(passed) > 60
    assert {name: said for name, said in resolve(passed).items() if said} == {}


@pytest.mark.slow
def test_vllm_knows_every_argument_of_the_gpu_records():
    from dataclasses import fields

    from engine.quirks import hide_broken_modules

    hide_broken_modules()
    from vllm.config import CompilationConfig, SpeculativeConfig
    from vllm.engine.arg_utils import EngineArgs

    known = {field.name for field in fields(EngineArgs)}
    for strategy in expand(CUDA, 1):
        assert set(strategy.engine_args) <= known
        speculative = args(strategy)["speculative_config"] or {}
        assert set(speculative) <= {field.name for field in fields(SpeculativeConfig)}
        compilation = args(strategy)["compilation_config"]
        assert str(CompilationConfig(**compilation).cudagraph_mode.name) == compilation["cudagraph_mode"]


def test_every_cpu_record_has_started_on_vllm_for_the_demo_model():
    """The shipped table is of real engines: what the filter lets through there, it has rows of."""
    where = replace(HERE, extras=EXTRAS, model=ModelFacts.from_dir(DEMO), hardware=MACHINE)
    passed = {strategy.digest() for strategy in offered(catalogue("cpu", "0.32.0", EXTRAS), where)}
    rows = read_table(SHIPPED_TABLE)
    ran = {row.strategy_digest for row in rows if row.model_name == DEMO.name and row.outcome == OK}
    assert len(passed) >= 16
    assert passed <= ran


def tokens(strategy):
    """What the demo model says on vLLM under this strategy."""
    from engine.base import Completion, EngineConfig, GenerationRequest
    from engine.child import ChildEngine

    engine = ChildEngine("vllm", EngineConfig(DEMO, strategy.arguments_for("float32", 256 << 20)))
    try:
        engine.start(timeout_secs=300)
        prompts = [tuple(range(8 + start, 60 + start)) for start in range(3)]
        engine.submit([GenerationRequest(str(i), prompt, 12) for i, prompt in enumerate(prompts)])
        done: dict[str, tuple[int, ...]] = {}
        while len(done) < len(prompts):
            done |= {e.request_id: e.token_ids for e in engine.events(1.0) if isinstance(e, Completion)}
        return done
    finally:
        engine.stop()


@pytest.fixture(scope="module")
def defaults_tokens():
    return tokens(catalogue("cpu", "0.32.0")[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ("block-64", "chunk-1024", "ngram-2", "seqs-8", "uncached"),
        # A compiler works for a minute here.
        pytest.param(("ngram-4", "compiled", "unchunked"), marks=pytest.mark.deep),
    ],
)
def test_a_combination_nobody_measured_starts_on_vllm_and_gives_the_defaults_tokens(names, defaults_tokens):
    strategy = build(CPU, *names)
    assert refusals(strategy, replace(HERE, model=ModelFacts.from_dir(DEMO), hardware=MACHINE)) == ()
    assert tokens(strategy) == defaults_tokens
