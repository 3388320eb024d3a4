"""Requests: addresses and ranges are checked before anything is signed."""

from typing import Any

import pytest

from protocol.abi import BadAddress, parse_address
from protocol.digest import ZERO_DIGEST
from protocol.errors import BadInput, NotYet, QuernError, Unavailable
from protocol.request import Request, RequestOutOfRange, submit_refusal
from protocol.states import SkipReason
from tests.protocol.test_replay import PARAMETERS

ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
FIELDS: dict[str, Any] = {
    "requester": ADDRESS,
    "salt": ZERO_DIGEST,
    "model_id": ZERO_DIGEST,
    "input_digest": ZERO_DIGEST,
    "params_digest": ZERO_DIGEST,
    "max_fee_units": 1,
    "flat_percent": 0,
    "tip_units": 0,
    "max_output_tokens": 1,
    "bond_units": 1,
    "deadline": 1,
    "lease_secs": 1,
    "input_uri": "",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_fee_units", 2**48),
        ("max_fee_units", -1),
        ("max_fee_units", 1.5),
        ("flat_percent", 256),
        ("tip_units", 2**48),
        ("max_output_tokens", 2**32),
        ("bond_units", 2**16),
        ("deadline", 2**32),
        ("lease_secs", 2**24),
        ("replicas", 256),
        ("salt", b"\0" * 31),
        ("model_id", "0x" + "00" * 32),
    ],
)
def test_a_field_that_does_not_fit_its_type_is_named(field, value):
    with pytest.raises(RequestOutOfRange, match=field):
        Request(**(FIELDS | {field: value}))


def test_an_address_is_put_into_its_checksummed_form():
    assert Request(**(FIELDS | {"requester": ADDRESS.lower()})).requester == ADDRESS
    assert parse_address("to", "0x" + ADDRESS[2:].upper()) == ADDRESS


@pytest.mark.parametrize(
    "address", ["", "0x", ADDRESS[:-1], ADDRESS[2:], ADDRESS.swapcase(), ADDRESS[:-1] + "9", None, 7]
)
def test_an_address_with_a_slip_is_refused(address):
    with pytest.raises(BadAddress, match="0x and 40 hex digits"):
        parse_address("to", address)


@pytest.mark.parametrize(
    ("kind", "builtin", "status"),
    [
        (BadInput, ValueError, 2),
        (NotYet, Exception, 3),
        (Unavailable, ConnectionError, 3),
    ],
)
def test_errors_are_one_line_with_code_field_value_and_fix(kind, builtin, status):
    error = kind("ROOM-001", "field", "a\nvery\x1b[31m " + "long " * 99, "do this")
    assert isinstance(error, builtin)
    assert isinstance(error, QuernError)
    assert error.exit_status == status
    assert str(error).startswith("ROOM-001 field 'a")
    assert str(error).endswith(": do this")
    assert len(str(error)) < 200
    assert str(error).isprintable()


TAKEN = FIELDS | {"deadline": 1_000, "lease_secs": 60}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"replicas": 7, "equivalence": b"\1" * 32, "flat_percent": 100}, None),
        ({"replicas": 0}, SkipReason.BAD_REPLICAS),
        ({"replicas": 2, "equivalence": b"\1" * 32}, SkipReason.BAD_REPLICAS),
        ({"replicas": 9, "equivalence": b"\1" * 32}, SkipReason.BAD_REPLICAS),
        ({"replicas": 3}, SkipReason.NO_EQUIVALENCE),
        ({"max_output_tokens": 0}, SkipReason.NO_OUTPUT_TOKENS),
        ({"flat_percent": 101}, SkipReason.FLAT_PERCENT_TOO_HIGH),
        ({"bond_units": 0}, SkipReason.NO_BOND),
        ({"lease_secs": 4}, SkipReason.LEASE_TOO_SHORT),
        ({"lease_secs": 901}, SkipReason.DEADLINE_TOO_SOON),
        ({"lease_secs": 900}, None),
        ({"deadline": 100 + 86_401}, SkipReason.DEADLINE_TOO_FAR),
        ({"deadline": 100 + 86_400}, None),
    ],
)
def test_what_the_market_would_refuse_is_known_before_anything_is_signed(changes, why):
    assert submit_refusal(Request(**(TAKEN | changes)), PARAMETERS, 100) is why
