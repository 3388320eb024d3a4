"""Signed requests as files: made by who has money in the market, sent by who has ether for gas."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chain.call import Call
from chain.files import create_file
from protocol.abi import parse_address
from protocol.digest import JsonValue, from_hex, parse_json, to_hex
from protocol.domain import Domain
from protocol.errors import BadInput, QuernError
from protocol.lifecycle import TaskState
from protocol.money import escrow_units
from protocol.request import Request, submit_refusal, task_id
from wallet.desk import Desk, clock
from wallet.journal import request_from_json, request_to_json

_VERSION = 1
_MAX_BYTES = 64 * 1024
MOST = 32


class BadSignedRequest(BadInput):
    """A file that is no signed request of this market."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__("RELAY-001", "signed request", str(path), f"{reason}; have it signed again")


class WontOpen(BadInput):
    """The market would skip the request now."""

    def __init__(self, task: bytes, reason: str) -> None:
        super().__init__("RELAY-002", "request", task, f"{reason}; leave it out")


class TooManyRequests(BadInput):
    """More than one transaction holds."""

    def __init__(self, count: int) -> None:
        super().__init__("RELAY-003", "requests", count, f"give 1 to {MOST} files at a time")


@dataclass(frozen=True, slots=True)
class Signed:
    """A request and its requester's signature (65 bytes by key; any length for ERC-1271)."""

    domain: Domain
    request: Request
    signature: bytes

    @property
    def task_id(self) -> bytes:
        return task_id(self.domain, self.request)

    def write(self, path: Path) -> None:
        """Into a new file, readable by its owner only: whoever has it can send it. Raises FileExistsError."""
        content: dict[str, JsonValue] = {
            "quern": _VERSION,
            "task_id": to_hex(self.task_id),
            "chain_id": self.domain.chain_id,
            "market": self.domain.market,
            "request": request_to_json(self.request),
            "signature": "0x" + self.signature.hex(),
        }
        create_file(path, (json.dumps(content, indent=1) + "\n").encode())

    @staticmethod
    def read(path: Path, domain: Domain) -> "Signed":
        """Raises BadSignedRequest, also for another market's."""
        try:
            with path.open("rb") as file:
                found = _read(file.read(_MAX_BYTES + 1))
        except OSError as error:
            raise BadSignedRequest(path, str(error.strerror)) from error
        except (QuernError, KeyError, TypeError, ValueError) as error:
            raise BadSignedRequest(path, f"it cannot be read ({error})") from error
        if found.domain != domain:
            reason = f"it is for market {found.domain.market} on chain {found.domain.chain_id}"
            raise BadSignedRequest(path, reason)
        return found


def require_opening(desk: Desk, many: Sequence[Signed], sender: str) -> None:
    """That the market would open each of them now, one after the other.

    Raises TooManyRequests, WontOpen, MarketRevert (BadSignature).
    """
    if not 1 <= len(many) <= MOST:
        raise TooManyRequests(len(many))
    now, parameters = clock(desk.rpc.latest()), desk.deployment.parameters
    free_units: dict[str, int] = {}
    seen: set[bytes] = set()
    for each in many:
        request = each.request
        state = desk.market.task(each.task_id).state
        if each.task_id in seen or state is not TaskState.NONE:
            raise WontOpen(
                each.task_id, f"it is {'given twice' if each.task_id in seen else state.name.lower()}"
            )
        seen.add(each.task_id)
        refusal = submit_refusal(request, parameters, now)
        if refusal is not None:
            raise WontOpen(each.task_id, refusal.name.lower().replace("_", " "))
        owner = request.requester
        left = free_units.get(owner, desk.market.account(owner).free_units if owner not in free_units else 0)
        left -= escrow_units(request.max_fee_units, request.replicas, request.tip_units)
        if left < 0:
            raise WontOpen(each.task_id, f"the free balance of {owner} does not cover it")
        free_units[owner] = left
        # The signature is tried by the market itself, which knows how a contract signs.
        desk.market.simulate(desk.market.submit_by_sig(request, each.signature), sender)


def relay_call(desk: Desk, many: Sequence[Signed]) -> Call:
    """One transaction for all of them."""
    if len(many) == 1:
        return desk.market.submit_by_sig(many[0].request, many[0].signature)
    return desk.market.submit_many_by_sig([each.request for each in many], [each.signature for each in many])


def _read(data: bytes) -> Signed:
    match parse_json("signed request", data, max_bytes=_MAX_BYTES):
        case {
            "quern": 1,
            "task_id": str(said),
            "chain_id": int(chain_id),
            "market": market,
            "request": dict(members),
            "signature": str(signature),
        }:
            domain = Domain(chain_id, parse_address("market", market))
            found = Signed(domain, request_from_json(members), bytes.fromhex(signature.removeprefix("0x")))
            if from_hex("task_id", said) != found.task_id:
                raise ValueError("its request does not hash to its id")
            return found
        case _:
            raise ValueError("fields are missing")
