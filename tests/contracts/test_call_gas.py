"""The gas that the natspec names with each call is what the call costs."""

import json

import pytest

from chain.compiler import interface_abis
from scripts.prove.call_gas import stated
from scripts.prove.every_call import measure

TOLERANCE = 0.01


def writing_calls() -> set[str]:
    """By name; those of other contracts than the market with its name before theirs."""
    found = set()
    for interface, abi in interface_abis().items():
        contract = interface.removeprefix("I")
        for entry in json.loads(abi):
            if entry["type"] == "function" and entry["stateMutability"] in ("nonpayable", "payable"):
                found.add(entry["name"] if contract == "InferenceMarket" else f"{contract}.{entry['name']}")
    return found


def test_every_call_that_writes_has_its_gas_in_the_natspec() -> None:
    assert stated().keys() == writing_calls()


@pytest.mark.slow
def test_the_gas_in_the_natspec_is_what_the_calls_cost(session_devnet, devnet) -> None:
    figures, named = measure(devnet.deployment), stated()
    assert figures.keys() == named.keys()
    off = {
        name: (named[name], gas) for name, gas in figures.items() if abs(gas - named[name]) > TOLERANCE * gas
    }
    assert not off, f"if that is meant, run scripts/prove/gas --save: {off}"
