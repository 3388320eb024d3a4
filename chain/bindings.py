"""Calls, returns, errors and events, as chain/bindgen.py reads them from the ABI."""

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

from eth_abi.abi import decode, encode

from chain.revert import ErrorTable
from chain.words import Struct, address, request_at, text_at, uint
from protocol import lifecycle
from protocol.lifecycle import Event, Place


class InferenceMarketAbi:
    """Call data and return values of InferenceMarket."""

    @staticmethod
    def encode_unit() -> bytes:
        return bytes.fromhex("9d8e2177")

    @staticmethod
    def decode_unit(data: bytes) -> int:
        return cast("int", decode(["uint256"], data)[0])

    @staticmethod
    def encode_account(holder: str) -> bytes:
        return bytes.fromhex("73b9aa91") + encode(["address"], (holder,))

    @staticmethod
    def decode_account(data: bytes) -> Struct:
        return cast("Struct", decode(["(uint96,uint96,uint32)"], data)[0])

    @staticmethod
    def encode_batch(root: bytes) -> bytes:
        return bytes.fromhex("fddaa065") + encode(["bytes32"], (root,))

    @staticmethod
    def decode_batch(data: bytes) -> Struct:
        return cast("Struct", decode(["(address,uint32)"], data)[0])

    @staticmethod
    def encode_burned() -> bytes:
        return bytes.fromhex("73f42561")

    @staticmethod
    def decode_burned(data: bytes) -> int:
        return cast("int", decode(["uint96"], data)[0])

    @staticmethod
    def encode_cancel(task_id: bytes) -> bytes:
        return bytes.fromhex("c4d252f5") + encode(["bytes32"], (task_id,))

    @staticmethod
    def encode_claim_many(ids: Sequence[bytes]) -> bytes:
        return bytes.fromhex("7ed51748") + encode(["bytes32[]"], (ids,))

    @staticmethod
    def decode_claim_many(data: bytes) -> int:
        return cast("int", decode(["uint256"], data)[0])

    @staticmethod
    def encode_deposit(beneficiary: str) -> bytes:
        return bytes.fromhex("f340fa01") + encode(["address"], (beneficiary,))

    @staticmethod
    def encode_domain_separator() -> bytes:
        return bytes.fromhex("f698da25")

    @staticmethod
    def decode_domain_separator(data: bytes) -> bytes:
        return cast("bytes", decode(["bytes32"], data)[0])

    @staticmethod
    def encode_expire(task_id: bytes) -> bytes:
        return bytes.fromhex("c6441798") + encode(["bytes32"], (task_id,))

    @staticmethod
    def encode_hash_body(body: Struct) -> bytes:
        return bytes.fromhex("8b48acd1") + encode(
            ["(bytes32,address,bytes32,bytes32,bytes32,bytes32,uint32,uint64,uint64)"], (body,)
        )

    @staticmethod
    def decode_hash_body(data: bytes) -> bytes:
        return cast("bytes", decode(["bytes32"], data)[0])

    @staticmethod
    def encode_hash_request(request: Struct) -> bytes:
        return bytes.fromhex("e5680de5") + encode(
            [
                "(address,bytes32,bytes32,bytes32,bytes32,bytes32,uint48,uint8,uint48,uint32,uint16,uint32,uint24,uint8,string)"
            ],
            (request,),
        )

    @staticmethod
    def decode_hash_request(data: bytes) -> bytes:
        return cast("bytes", decode(["bytes32"], data)[0])

    @staticmethod
    def encode_parameters() -> bytes:
        return bytes.fromhex("89035730")

    @staticmethod
    def decode_parameters(data: bytes) -> Struct:
        return cast(
            "Struct",
            decode(["(uint32,uint32,uint32,uint32,uint32,uint32,uint64,uint64,uint64,uint64,address)"], data)[
                0
            ],
        )

    @staticmethod
    def encode_post_batch(receipts: Sequence[Struct]) -> bytes:
        return bytes.fromhex("65fdba94") + encode(["(bytes32,bytes32,uint32)[]"], (receipts,))

    @staticmethod
    def decode_post_batch(data: bytes) -> bytes:
        return cast("bytes", decode(["bytes32"], data)[0])

    @staticmethod
    def encode_raise_tip(task_id: bytes, new_tip: int) -> bytes:
        return bytes.fromhex("126eb493") + encode(
            ["bytes32", "uint48"],
            (
                task_id,
                new_tip,
            ),
        )

    @staticmethod
    def encode_release(task_id: bytes) -> bytes:
        return bytes.fromhex("67d42a8b") + encode(["bytes32"], (task_id,))

    @staticmethod
    def encode_settle_many(ids: Sequence[bytes]) -> bytes:
        return bytes.fromhex("d8872dbe") + encode(["bytes32[]"], (ids,))

    @staticmethod
    def decode_settle_many(data: bytes) -> int:
        return cast("int", decode(["uint256"], data)[0])

    @staticmethod
    def encode_submit(request: Struct) -> bytes:
        return bytes.fromhex("4d24a4f7") + encode(
            [
                "(address,bytes32,bytes32,bytes32,bytes32,bytes32,uint48,uint8,uint48,uint32,uint16,uint32,uint24,uint8,string)"
            ],
            (request,),
        )

    @staticmethod
    def decode_submit(data: bytes) -> bytes:
        return cast("bytes", decode(["bytes32"], data)[0])

    @staticmethod
    def encode_submit_many(requests: Sequence[Struct]) -> bytes:
        return bytes.fromhex("54dd8e82") + encode(
            [
                "(address,bytes32,bytes32,bytes32,bytes32,bytes32,uint48,uint8,uint48,uint32,uint16,uint32,uint24,uint8,string)[]"
            ],
            (requests,),
        )

    @staticmethod
    def decode_submit_many(data: bytes) -> int:
        return cast("int", decode(["uint256"], data)[0])

    @staticmethod
    def encode_task_of(task_id: bytes) -> bytes:
        return bytes.fromhex("234bdfaa") + encode(["bytes32"], (task_id,))

    @staticmethod
    def decode_task_of(data: bytes) -> Struct:
        return cast(
            "Struct",
            decode(
                [
                    "(uint8,uint8,address,uint32,uint32,uint24,uint16,uint8,uint32,uint32,uint32,address,uint48,uint48)"
                ],
                data,
            )[0],
        )

    @staticmethod
    def encode_withdraw(amount_units: int, to: str) -> bytes:
        return bytes.fromhex("00f714ce") + encode(
            ["uint256", "address"],
            (
                amount_units,
                to,
            ),
        )

    @staticmethod
    def encode_worker(index: int) -> bytes:
        return bytes.fromhex("74aa4838") + encode(["uint32"], (index,))

    @staticmethod
    def decode_worker(data: bytes) -> str:
        return cast("str", decode(["address"], data)[0])


class MarketLensAbi:
    """Call data and return values of MarketLens."""

    @staticmethod
    def encode_escrow_of(ids: Sequence[bytes]) -> bytes:
        return bytes.fromhex("f62c7ed3") + encode(["bytes32[]"], (ids,))

    @staticmethod
    def decode_escrow_of(data: bytes) -> int:
        return cast("int", decode(["uint256"], data)[0])

    @staticmethod
    def encode_market() -> bytes:
        return bytes.fromhex("80f55605")

    @staticmethod
    def decode_market(data: bytes) -> str:
        return cast("str", decode(["address"], data)[0])

    @staticmethod
    def encode_priority_of(task_id: bytes) -> bytes:
        return bytes.fromhex("63f9e005") + encode(["bytes32"], (task_id,))

    @staticmethod
    def decode_priority_of(data: bytes) -> int:
        return cast("int", decode(["uint256"], data)[0])

    @staticmethod
    def encode_queue(ids: Sequence[bytes]) -> bytes:
        return bytes.fromhex("e233fc02") + encode(["bytes32[]"], (ids,))

    @staticmethod
    def decode_queue(data: bytes) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
        return cast("tuple[tuple[bytes, ...], tuple[int, ...]]", decode(["bytes32[]", "uint256[]"], data))

    @staticmethod
    def encode_standing_of(task_id: bytes) -> bytes:
        return bytes.fromhex("43aa9ad3") + encode(["bytes32"], (task_id,))

    @staticmethod
    def decode_standing_of(data: bytes) -> int:
        return cast("int", decode(["uint8"], data)[0])


class ModelRegistryAbi:
    """Call data and return values of ModelRegistry."""

    @staticmethod
    def encode_announce(model_id: bytes, uri: str) -> bytes:
        return bytes.fromhex("842929d5") + encode(
            ["bytes32", "string"],
            (
                model_id,
                uri,
            ),
        )

    @staticmethod
    def encode_announce_store(uri: str) -> bytes:
        return bytes.fromhex("25a43a18") + encode(["string"], (uri,))


ERRORS: ErrorTable = {
    bytes.fromhex("a260e9cf"): ("BadParameter", (("name", "string"), ("value", "uint256"))),
    bytes.fromhex("f749c12d"): ("DeadlineNotPassed", (("task_id", "bytes32"), ("deadline", "uint32"))),
    bytes.fromhex("d64f2fa2"): ("DeadlineTooFar", (("deadline", "uint32"), ("latest", "uint256"))),
    bytes.fromhex("6d8ac29c"): ("DeadlineTooSoon", (("deadline", "uint32"), ("earliest", "uint256"))),
    bytes.fromhex("a3e12ed0"): ("FlatPercentTooHigh", (("flat_percent", "uint8"),)),
    bytes.fromhex("9e1e4e78"): (
        "InsufficientFree",
        (("account", "address"), ("free", "uint256"), ("needed", "uint256")),
    ),
    bytes.fromhex("74ad3fab"): ("LeaseEnded", (("task_id", "bytes32"), ("until", "uint32"))),
    bytes.fromhex("6870e1ff"): ("LeaseRunning", (("task_id", "bytes32"), ("until", "uint32"))),
    bytes.fromhex("aecbc8f2"): ("LeaseTooShort", (("lease_secs", "uint24"), ("min_lease", "uint32"))),
    bytes.fromhex("dfc19f8e"): ("NoBond", ()),
    bytes.fromhex("3ce93497"): ("NoOutputTokens", ()),
    bytes.fromhex("0691b032"): ("NotRequester", (("caller", "address"), ("requester", "address"))),
    bytes.fromhex("5b116727"): ("NotWholeUnits", (("amount_wei", "uint256"),)),
    bytes.fromhex("e5d4738d"): (
        "NotWorker",
        (("task_id", "bytes32"), ("caller", "address"), ("worker", "address")),
    ),
    bytes.fromhex("5458b965"): ("ReplicasNotYet", (("replicas", "uint8"),)),
    bytes.fromhex("c2a50498"): ("TipNotRaised", (("tip", "uint48"), ("new_tip", "uint48"))),
    bytes.fromhex("92873d13"): ("WithdrawalFailed", (("to", "address"), ("amount_wei", "uint256"))),
    bytes.fromhex("2b3263b3"): ("WrongState", (("task_id", "bytes32"), ("state", "uint8"))),
    bytes.fromhex("d92e233d"): ("ZeroAddress", ()),
}


def _batch_posted(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.BatchPosted(at, topics[1], address(topics[2]), uint(data, 0))


def _deposited(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.Deposited(at, address(topics[1]), uint(data, 0))


def _lease_lapsed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.LeaseLapsed(at, topics[1], address(topics[2]), uint(data, 0))


def _lease_released(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.LeaseReleased(at, topics[1], address(topics[2]), uint(data, 0))


def _priority_raised(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.PriorityRaised(at, topics[1], uint(data, 0), uint(data, 1), uint(data, 2))


def _result_posted(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.ResultPosted(at, topics[1], topics[2], data[0:32], uint(data, 1), uint(data, 2))


def _task_claimed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.TaskClaimed(at, topics[1], address(topics[2]), uint(data, 0))


def _task_refunded(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.TaskRefunded(at, topics[1], uint(data, 0), uint(data, 1))


def _task_settled(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.TaskSettled(at, topics[1], address(topics[2]), uint(data, 0), uint(data, 1))


def _task_skipped(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.TaskSkipped(at, topics[1], lifecycle.TaskState(uint(data, 0)), uint(data, 1))


def _task_submitted(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.TaskSubmitted(at, topics[1], request_at(data, 0), uint(data, 1))


def _withdrawn(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.Withdrawn(at, address(topics[1]), address(topics[2]), uint(data, 0))


def _worker_indexed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.WorkerIndexed(at, address(topics[1]), uint(data, 0))


def _model_announced(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.ModelAnnounced(at, topics[1], address(topics[2]), text_at(data, 0))


def _store_announced(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.StoreAnnounced(at, address(topics[1]), text_at(data, 0))


EventDecoder: TypeAlias = Callable[[Place, Sequence[bytes], bytes], Event]
# First topic -> decoder; the others are indexed values.
EVENTS: dict[bytes, EventDecoder] = {
    bytes.fromhex("a35437bbca8f69541f9d5ccd0f195d88fd6667977f2be80d1cc1e32540376a43"): _batch_posted,
    bytes.fromhex("dda0f60b22a66d7dc2e2a6fa8fd7def45a6f707773244ca1852ecca2b6cbb5fe"): _deposited,
    bytes.fromhex("2f12abd3682c9c4df3130fc47743bde10339bd2c276d779d8fd39b82e4d3cb0c"): _lease_lapsed,
    bytes.fromhex("eb18d9abde4ccf0d52ff9d283a91ba441ac7caa6796b1c9898328a74ad1a895d"): _lease_released,
    bytes.fromhex("da9cd95d9721fd342fadbb2a328dc05a8dfc061ffb2d214280ad3ac07e36d711"): _priority_raised,
    bytes.fromhex("44b7636ca1c84c496052cf5dbf30adc8d0dadc60188b6991480e1df590c07f53"): _result_posted,
    bytes.fromhex("427c6222900efcd8bcaafa33806be7ae155edaf4a3c067a9085b406ba8a55112"): _task_claimed,
    bytes.fromhex("285f3584d6afe1ef8786cd40abeb81c2ff91cece28cb7a1b6c42dcd5ae49f49e"): _task_refunded,
    bytes.fromhex("69568fad3d173e7bb30d64c9793260c29184563dae723839faf07029d787c28f"): _task_settled,
    bytes.fromhex("aa0103cca2004da9b8bfb9c591d19eb04c8ea47478b7381e76b4d4e223a6f617"): _task_skipped,
    bytes.fromhex("f70c9686d92bef5e4c6ea4a18d3803e3efc437d1f9a50fdf9d47a1f79f18e424"): _task_submitted,
    bytes.fromhex("6e6e54d2933c54e86384932153b0244ddd09a166888407646f12cb83392e4bc1"): _withdrawn,
    bytes.fromhex("63dfbde5f15429d8745ca8e359475406d740604cd7430486b271cd76216ff2b1"): _worker_indexed,
    bytes.fromhex("22cb712b725771409cc6b936f2abb7f3b4a34a29518b55ea2fa15f431a2ef6d0"): _model_announced,
    bytes.fromhex("41d11b8d3f196954a58bccb601eb193dd62bfe40a00bc90f6ba6a499024659a8"): _store_announced,
}
