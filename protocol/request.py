"""What a requester asks and pays for. Its EIP-712 digest is the task's id."""

from dataclasses import dataclass

from protocol.abi import address_word, parse_address, uint_word
from protocol.digest import DIGEST_BYTES, ZERO_DIGEST, JsonValue, keccak, to_hex
from protocol.domain import NAME, VERSION, Domain, typed_digest
from protocol.errors import BadInput
from protocol.parameters import Parameters
from protocol.states import SkipReason

# (Solidity type, Solidity name, Python field), in the order of the EIP-712 type.
MEMBERS = (
    ("address", "requester", "requester"),
    ("bytes32", "salt", "salt"),
    ("bytes32", "modelId", "model_id"),
    ("bytes32", "inputDigest", "input_digest"),
    ("bytes32", "paramsDigest", "params_digest"),
    ("bytes32", "equivalence", "equivalence"),
    ("uint48", "maxFee", "max_fee_units"),
    ("uint8", "flatPercent", "flat_percent"),
    ("uint48", "tip", "tip_units"),
    ("uint32", "maxOutputTokens", "max_output_tokens"),
    ("uint16", "bondUnits", "bond_units"),
    ("uint32", "deadline", "deadline"),
    ("uint24", "leaseSecs", "lease_secs"),
    ("uint8", "replicas", "replicas"),
    ("string", "inputURI", "input_uri"),
)
REQUEST_TYPE = f"Request({','.join(f'{kind} {name}' for kind, name, _ in MEMBERS)})"
REQUEST_TYPEHASH = keccak(REQUEST_TYPE.encode())
CANCEL_TYPEHASH = keccak(b"Cancel(bytes32 taskId)")
REPLICAS = (1, 3, 5, 7)
MAX_FLAT_PERCENT = 100
_UINTS = tuple((field, 1 << int(kind[4:])) for kind, _, field in MEMBERS if kind.startswith("uint"))
_DIGESTS = tuple(field for kind, _, field in MEMBERS if kind == "bytes32")


class RequestOutOfRange(BadInput):
    """A field that does not fit its Solidity type."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__("REQUEST-001", field, value, fix)


@dataclass(frozen=True, slots=True)
class Request:
    """Amounts in UNITs, `deadline` in unix seconds, digests 32 bytes, `requester` in EIP-55 form.

    Raises RequestOutOfRange where a value does not fit its Solidity type; the market's own limits
    (lease, lifetime, percent) are the contract's to refuse.
    """

    requester: str
    salt: bytes
    model_id: bytes
    input_digest: bytes
    params_digest: bytes
    max_fee_units: int
    flat_percent: int
    tip_units: int
    max_output_tokens: int
    bond_units: int
    deadline: int
    lease_secs: int
    input_uri: str
    equivalence: bytes = ZERO_DIGEST
    replicas: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "requester", parse_address("requester", self.requester))
        for field, limit in _UINTS:
            value = getattr(self, field)
            if not isinstance(value, int) or not 0 <= value < limit:
                raise RequestOutOfRange(field, value, f"give a whole number from 0 to {limit - 1}")
        for field in _DIGESTS:
            value = getattr(self, field)
            if not isinstance(value, bytes) or len(value) != DIGEST_BYTES:
                raise RequestOutOfRange(field, value, f"give {DIGEST_BYTES} bytes")


def struct_hash(request: Request) -> bytes:
    """EIP-712 hashStruct of the request."""
    return keccak(
        b"".join(
            (
                REQUEST_TYPEHASH,
                address_word(request.requester),
                request.salt,
                request.model_id,
                request.input_digest,
                request.params_digest,
                request.equivalence,
                uint_word(request.max_fee_units),
                uint_word(request.flat_percent),
                uint_word(request.tip_units),
                uint_word(request.max_output_tokens),
                uint_word(request.bond_units),
                uint_word(request.deadline),
                uint_word(request.lease_secs),
                uint_word(request.replicas),
                # A requester may put any bytes on chain; what was decoded with escapes hashes to the same id.
                keccak(request.input_uri.encode("utf-8", "surrogateescape")),
            )
        )
    )


def task_id(domain: Domain, request: Request) -> bytes:
    """The task's id: known before anything is signed or sent."""
    return typed_digest(domain, struct_hash(request))


def cancel_digest(domain: Domain, task_id: bytes) -> bytes:
    """What a requester signs for `cancelBySig`."""
    return typed_digest(domain, keccak(CANCEL_TYPEHASH + task_id))


def submit_refusal(request: Request, parameters: Parameters, now: int) -> SkipReason | None:
    """Why a market of these parameters would not take the request at second `now`; None: it would.

    Who sends or signs it, its balance and whether its id was used are the chain's to say.
    """
    if request.replicas not in REPLICAS:
        return SkipReason.BAD_REPLICAS
    if request.replicas > 1 and request.equivalence == ZERO_DIGEST:
        return SkipReason.NO_EQUIVALENCE
    if request.max_output_tokens == 0:
        return SkipReason.NO_OUTPUT_TOKENS
    if request.flat_percent > MAX_FLAT_PERCENT:
        return SkipReason.FLAT_PERCENT_TOO_HIGH
    if request.bond_units == 0:
        return SkipReason.NO_BOND
    if request.lease_secs < parameters.min_lease_secs:
        return SkipReason.LEASE_TOO_SHORT
    if request.deadline < now + request.lease_secs:
        return SkipReason.DEADLINE_TOO_SOON
    if request.deadline > now + parameters.max_life_secs:
        return SkipReason.DEADLINE_TOO_FAR
    return None


def as_tuple(request: Request) -> tuple[str | bytes | int, ...]:
    """Members in the order of the ABI."""
    return tuple(getattr(request, field) for _, _, field in MEMBERS)


def typed_data(domain: Domain, request: Request) -> dict[str, JsonValue]:
    """What `eth_signTypedData_v4` takes, for wallets that sign elsewhere."""
    message: dict[str, JsonValue] = {
        name: to_hex(value) if isinstance(value, bytes) else value
        for (_, name, _), value in zip(MEMBERS, as_tuple(request), strict=True)
    }
    return _typed_data(domain, "Request", [(kind, name) for kind, name, _ in MEMBERS], message)


def cancel_typed_data(domain: Domain, task_id: bytes) -> dict[str, JsonValue]:
    """The same for a cancellation."""
    return _typed_data(domain, "Cancel", [("bytes32", "taskId")], {"taskId": to_hex(task_id)})


def _typed_data(
    domain: Domain, name: str, members: list[tuple[str, str]], message: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            name: [{"name": member, "type": kind} for kind, member in members],
        },
        "primaryType": name,
        "domain": {
            "name": NAME,
            "version": VERSION,
            "chainId": domain.chain_id,
            "verifyingContract": domain.market,
        },
        "message": message,
    }
