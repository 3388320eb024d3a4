"""Calls, returns, errors and events, as chain/bindgen.py reads them from the ABI."""

# ruff: noqa: FBT001, ARG001 - a generated call takes its arguments in the order of the ABI

from collections.abc import Callable, Sequence
from typing import TypeAlias, cast

from eth_abi.abi import decode, encode

from chain.revert import ErrorTable
from chain.words import Struct, address, array_of_words, request_at, text_at, uint, uints_at
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
    def encode_answer(task_id: bytes, leaf: int, evidence: Struct) -> bytes:
        return bytes.fromhex("d72e7383") + encode(
            [
                "bytes32",
                "uint32",
                "((bytes32,address,bytes32,bytes32,bytes32,bytes32,uint32,uint64,uint64),bytes32[],uint32[],bytes32[])",
            ],
            (
                task_id,
                leaf,
                evidence,
            ),
        )

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
    def encode_cancel_by_sig(task_id: bytes, signature: bytes) -> bytes:
        return bytes.fromhex("f2c42608") + encode(
            ["bytes32", "bytes"],
            (
                task_id,
                signature,
            ),
        )

    @staticmethod
    def encode_challenge(task_id: bytes) -> bytes:
        return bytes.fromhex("cffd46dc") + encode(["bytes32"], (task_id,))

    @staticmethod
    def encode_claim_many(ids: Sequence[bytes]) -> bytes:
        return bytes.fromhex("7ed51748") + array_of_words(ids)

    @staticmethod
    def decode_claim_many(data: bytes) -> int:
        return cast("int", decode(["uint256"], data)[0])

    @staticmethod
    def encode_close_demand(task_id: bytes, leaf: int) -> bytes:
        return bytes.fromhex("d78aac63") + encode(
            ["bytes32", "uint32"],
            (
                task_id,
                leaf,
            ),
        )

    @staticmethod
    def encode_close_round(task_id: bytes) -> bytes:
        return bytes.fromhex("7d042dfd") + encode(["bytes32"], (task_id,))

    @staticmethod
    def encode_commit(task_id: bytes, commitment: bytes) -> bytes:
        return bytes.fromhex("e3ce094d") + encode(
            ["bytes32", "bytes32"],
            (
                task_id,
                commitment,
            ),
        )

    @staticmethod
    def encode_demand(task_id: bytes, leaf: int) -> bytes:
        return bytes.fromhex("17d67804") + encode(
            ["bytes32", "uint32"],
            (
                task_id,
                leaf,
            ),
        )

    @staticmethod
    def encode_demand_of(task_id: bytes, leaf: int) -> bytes:
        return bytes.fromhex("e78298e4") + encode(
            ["bytes32", "uint32"],
            (
                task_id,
                leaf,
            ),
        )

    @staticmethod
    def decode_demand_of(data: bytes) -> Struct:
        return cast("Struct", decode(["(address,uint32)"], data)[0])

    @staticmethod
    def encode_deposit(beneficiary: str) -> bytes:
        return bytes.fromhex("f340fa01") + encode(["address"], (beneficiary,))

    @staticmethod
    def encode_deposit_token(beneficiary: str, amount_units: int) -> bytes:
        return bytes.fromhex("338b5dea") + encode(
            ["address", "uint256"],
            (
                beneficiary,
                amount_units,
            ),
        )

    @staticmethod
    def encode_deposit_with_permit(
        beneficiary: str, amount_units: int, permit_deadline: int, v: int, r: bytes, s: bytes
    ) -> bytes:
        return bytes.fromhex("12a62cff") + encode(
            ["address", "uint256", "uint256", "uint8", "bytes32", "bytes32"],
            (
                beneficiary,
                amount_units,
                permit_deadline,
                v,
                r,
                s,
            ),
        )

    @staticmethod
    def encode_dispute_of(task_id: bytes) -> bytes:
        return bytes.fromhex("9427c7d6") + encode(["bytes32"], (task_id,))

    @staticmethod
    def decode_dispute_of(data: bytes) -> Struct:
        return cast("Struct", decode(["(address,uint32)"], data)[0])

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
    def encode_hash_cancel(task_id: bytes) -> bytes:
        return bytes.fromhex("7b8dd829") + encode(["bytes32"], (task_id,))

    @staticmethod
    def decode_hash_cancel(data: bytes) -> bytes:
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
    def encode_lapse_demand(task_id: bytes, leaf: int) -> bytes:
        return bytes.fromhex("3c9bba37") + encode(
            ["bytes32", "uint32"],
            (
                task_id,
                leaf,
            ),
        )

    @staticmethod
    def encode_open_reveal(task_id: bytes) -> bytes:
        return bytes.fromhex("8ba2299f") + encode(["bytes32"], (task_id,))

    @staticmethod
    def encode_parameters() -> bytes:
        return bytes.fromhex("89035730")

    @staticmethod
    def decode_parameters(data: bytes) -> Struct:
        return cast(
            "Struct",
            decode(
                ["(uint32,uint32,uint32,uint32,uint32,uint32,uint64,uint64,uint64,uint64,address,address)"],
                data,
            )[0],
        )

    @staticmethod
    def encode_post_batch(receipts: Sequence[Struct]) -> bytes:
        return bytes.fromhex("65fdba94") + array_of_words(receipts)

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
    def encode_reveal(body: Struct, output_tokens: int, salt: bytes) -> bytes:
        return bytes.fromhex("2d060a97") + encode(
            ["(bytes32,address,bytes32,bytes32,bytes32,bytes32,uint32,uint64,uint64)", "uint32", "bytes32"],
            (
                body,
                output_tokens,
                salt,
            ),
        )

    @staticmethod
    def encode_revoke(request: Struct) -> bytes:
        return bytes.fromhex("a455ce53") + encode(
            [
                "(address,bytes32,bytes32,bytes32,bytes32,bytes32,uint48,uint8,uint48,uint32,uint16,uint32,uint24,uint8,string)"
            ],
            (request,),
        )

    @staticmethod
    def encode_round_of(task_id: bytes) -> bytes:
        return bytes.fromhex("f7c86d12") + encode(["bytes32"], (task_id,))

    @staticmethod
    def decode_round_of(data: bytes) -> Struct:
        return cast("Struct", decode(["(uint8,uint8,uint8,bytes32)"], data)[0])

    @staticmethod
    def encode_rule(task_id: bytes, faulty: bool) -> bytes:
        return bytes.fromhex("8b6a8bec") + encode(
            ["bytes32", "bool"],
            (
                task_id,
                faulty,
            ),
        )

    @staticmethod
    def encode_seat_of(task_id: bytes, place: int) -> bytes:
        return bytes.fromhex("4eb29918") + encode(
            ["bytes32", "uint256"],
            (
                task_id,
                place,
            ),
        )

    @staticmethod
    def decode_seat_of(data: bytes) -> Struct:
        return cast("Struct", decode(["(uint8,address,uint32,uint32,bytes32)"], data)[0])

    @staticmethod
    def encode_settle_many(ids: Sequence[bytes]) -> bytes:
        return bytes.fromhex("d8872dbe") + array_of_words(ids)

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
    def encode_submit_by_sig(request: Struct, signature: bytes) -> bytes:
        return bytes.fromhex("e5038751") + encode(
            [
                "(address,bytes32,bytes32,bytes32,bytes32,bytes32,uint48,uint8,uint48,uint32,uint16,uint32,uint24,uint8,string)",
                "bytes",
            ],
            (
                request,
                signature,
            ),
        )

    @staticmethod
    def decode_submit_by_sig(data: bytes) -> bytes:
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
    def encode_submit_many_by_sig(requests: Sequence[Struct], signatures: Sequence[bytes]) -> bytes:
        return bytes.fromhex("2c410934") + encode(
            [
                "(address,bytes32,bytes32,bytes32,bytes32,bytes32,uint48,uint8,uint48,uint32,uint16,uint32,uint24,uint8,string)[]",
                "bytes[]",
            ],
            (
                requests,
                signatures,
            ),
        )

    @staticmethod
    def decode_submit_many_by_sig(data: bytes) -> int:
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
                    "(uint8,uint8,uint8,address,uint32,uint32,uint24,uint16,uint8,uint32,uint32,uint32,uint32,address,uint48,uint48)"
                ],
                data,
            )[0],
        )

    @staticmethod
    def encode_timeout(task_id: bytes) -> bytes:
        return bytes.fromhex("795ea18e") + encode(["bytes32"], (task_id,))

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
        return bytes.fromhex("e233fc02") + array_of_words(ids)

    @staticmethod
    def decode_queue(data: bytes) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
        return cast("tuple[tuple[bytes, ...], tuple[int, ...]]", decode(["bytes32[]", "uint256[]"], data))

    @staticmethod
    def encode_record_skip(taken: Struct, skipped: Struct, worker: str) -> bytes:
        return bytes.fromhex("f6df248e") + encode(
            [
                "(address,bytes32,bytes32,bytes32,bytes32,bytes32,uint48,uint8,uint48,uint32,uint16,uint32,uint24,uint8,string)",
                "(address,bytes32,bytes32,bytes32,bytes32,bytes32,uint48,uint8,uint48,uint32,uint16,uint32,uint24,uint8,string)",
                "address",
            ],
            (
                taken,
                skipped,
                worker,
            ),
        )

    @staticmethod
    def encode_standing_of(task_id: bytes) -> bytes:
        return bytes.fromhex("43aa9ad3") + encode(["bytes32"], (task_id,))

    @staticmethod
    def decode_standing_of(data: bytes) -> int:
        return cast("int", decode(["uint8"], data)[0])

    @staticmethod
    def encode_waiting(ids: Sequence[bytes]) -> bytes:
        return bytes.fromhex("38f8369e") + array_of_words(ids)

    @staticmethod
    def decode_waiting(data: bytes) -> tuple[Struct, ...]:
        return cast(
            "tuple[Struct, ...]",
            decode(["(bytes32,uint8,uint256,uint256,uint256,uint256,uint32)[]"], data)[0],
        )


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


class PanelArbiterAbi:
    """Call data and return values of PanelArbiter."""

    @staticmethod
    def encode_collect(market: str, to: str) -> bytes:
        return bytes.fromhex("a12ef25e") + encode(
            ["address", "address"],
            (
                market,
                to,
            ),
        )

    @staticmethod
    def encode_commit_secs() -> bytes:
        return bytes.fromhex("caf1d273")

    @staticmethod
    def decode_commit_secs(data: bytes) -> int:
        return cast("int", decode(["uint32"], data)[0])

    @staticmethod
    def encode_commit_vote(market: str, task_id: bytes, commitment: bytes) -> bytes:
        return bytes.fromhex("f113bd3a") + encode(
            ["address", "bytes32", "bytes32"],
            (
                market,
                task_id,
                commitment,
            ),
        )

    @staticmethod
    def encode_hash_vote(market: str, task_id: bytes, member: str, faulty: bool, salt: bytes) -> bytes:
        return bytes.fromhex("665c5597") + encode(
            ["address", "bytes32", "address", "bool", "bytes32"],
            (
                market,
                task_id,
                member,
                faulty,
                salt,
            ),
        )

    @staticmethod
    def decode_hash_vote(data: bytes) -> bytes:
        return cast("bytes", decode(["bytes32"], data)[0])

    @staticmethod
    def encode_hearing_of(market: str, task_id: bytes) -> bytes:
        return bytes.fromhex("b51f5394") + encode(
            ["address", "bytes32"],
            (
                market,
                task_id,
            ),
        )

    @staticmethod
    def decode_hearing_of(data: bytes) -> Struct:
        return cast("Struct", decode(["(uint32,uint32,uint8,uint8,uint8,bool,uint96)"], data)[0])

    @staticmethod
    def encode_is_member(who: str) -> bytes:
        return bytes.fromhex("a230c524") + encode(["address"], (who,))

    @staticmethod
    def decode_is_member(data: bytes) -> bool:
        return cast("bool", decode(["bool"], data)[0])

    @staticmethod
    def encode_members() -> bytes:
        return bytes.fromhex("bdd4d18d")

    @staticmethod
    def decode_members(data: bytes) -> tuple[str, ...]:
        return cast("tuple[str, ...]", decode(["address[]"], data)[0])

    @staticmethod
    def encode_open(market: str, task_id: bytes) -> bytes:
        return bytes.fromhex("8a0aa665") + encode(
            ["address", "bytes32"],
            (
                market,
                task_id,
            ),
        )

    @staticmethod
    def encode_reveal_secs() -> bytes:
        return bytes.fromhex("1689594f")

    @staticmethod
    def decode_reveal_secs(data: bytes) -> int:
        return cast("int", decode(["uint32"], data)[0])

    @staticmethod
    def encode_reveal_vote(market: str, task_id: bytes, faulty: bool, salt: bytes) -> bytes:
        return bytes.fromhex("4aa2dc39") + encode(
            ["address", "bytes32", "bool", "bytes32"],
            (
                market,
                task_id,
                faulty,
                salt,
            ),
        )

    @staticmethod
    def encode_rule(market: str, task_id: bytes) -> bytes:
        return bytes.fromhex("c32b827f") + encode(
            ["address", "bytes32"],
            (
                market,
                task_id,
            ),
        )

    @staticmethod
    def encode_ruling_secs() -> bytes:
        return bytes.fromhex("5adae294")

    @staticmethod
    def decode_ruling_secs(data: bytes) -> int:
        return cast("int", decode(["uint32"], data)[0])

    @staticmethod
    def encode_share_of(market: str, member: str) -> bytes:
        return bytes.fromhex("acd5d458") + encode(
            ["address", "address"],
            (
                market,
                member,
            ),
        )

    @staticmethod
    def decode_share_of(data: bytes) -> int:
        return cast("int", decode(["uint256"], data)[0])

    @staticmethod
    def encode_threshold() -> bytes:
        return bytes.fromhex("42cde4e8")

    @staticmethod
    def decode_threshold(data: bytes) -> int:
        return cast("int", decode(["uint8"], data)[0])

    @staticmethod
    def encode_vote_of(market: str, task_id: bytes, member: str) -> bytes:
        return bytes.fromhex("6f9d36c4") + encode(
            ["address", "bytes32", "address"],
            (
                market,
                task_id,
                member,
            ),
        )

    @staticmethod
    def decode_vote_of(data: bytes) -> int:
        return cast("int", decode(["uint8"], data)[0])


ERRORS: ErrorTable = {
    bytes.fromhex("d297b6c5"): ("AlreadyCommitted", (("task_id", "bytes32"),)),
    bytes.fromhex("d506a628"): ("AlreadyDemanded", (("task_id", "bytes32"), ("leaf", "uint32"))),
    bytes.fromhex("fc0b6c26"): (
        "AnswerTimeOver",
        (("task_id", "bytes32"), ("leaf", "uint32"), ("until", "uint32")),
    ),
    bytes.fromhex("31416346"): (
        "AnswerTimeRunning",
        (("task_id", "bytes32"), ("leaf", "uint32"), ("until", "uint32")),
    ),
    bytes.fromhex("a260e9cf"): ("BadParameter", (("name", "string"), ("value", "uint256"))),
    bytes.fromhex("0cd9ef5d"): ("BadReplicas", (("replicas", "uint8"),)),
    bytes.fromhex("e49c6ba0"): ("BadSignature", (("task_id", "bytes32"), ("signer", "address"))),
    bytes.fromhex("fb306fcd"): ("BodyNotPosted", (("task_id", "bytes32"),)),
    bytes.fromhex("bf7c2f79"): (
        "CommitmentMismatch",
        (("task_id", "bytes32"), ("committed", "bytes32"), ("revealed", "bytes32")),
    ),
    bytes.fromhex("f749c12d"): ("DeadlineNotPassed", (("task_id", "bytes32"), ("deadline", "uint32"))),
    bytes.fromhex("6d30882f"): ("DeadlinePassed", (("task_id", "bytes32"), ("deadline", "uint32"))),
    bytes.fromhex("d64f2fa2"): ("DeadlineTooFar", (("deadline", "uint32"), ("latest", "uint256"))),
    bytes.fromhex("6d8ac29c"): ("DeadlineTooSoon", (("deadline", "uint32"), ("earliest", "uint256"))),
    bytes.fromhex("eba82f91"): ("DemandsOpen", (("task_id", "bytes32"), ("demands", "uint32"))),
    bytes.fromhex("a3e12ed0"): ("FlatPercentTooHigh", (("flat_percent", "uint8"),)),
    bytes.fromhex("9e1e4e78"): (
        "InsufficientFree",
        (("account", "address"), ("free", "uint256"), ("needed", "uint256")),
    ),
    bytes.fromhex("6924a5a3"): (
        "LeafNotInOutput",
        (("task_id", "bytes32"), ("leaf", "uint32"), ("output_root", "bytes32")),
    ),
    bytes.fromhex("74ad3fab"): ("LeaseEnded", (("task_id", "bytes32"), ("until", "uint32"))),
    bytes.fromhex("6870e1ff"): ("LeaseRunning", (("task_id", "bytes32"), ("until", "uint32"))),
    bytes.fromhex("aecbc8f2"): ("LeaseTooShort", (("lease_secs", "uint24"), ("min_lease", "uint32"))),
    bytes.fromhex("ab8b67c6"): ("LengthMismatch", (("requests", "uint256"), ("signatures", "uint256"))),
    bytes.fromhex("dfc19f8e"): ("NoBond", ()),
    bytes.fromhex("1cff010a"): ("NoDemand", (("task_id", "bytes32"), ("leaf", "uint32"))),
    bytes.fromhex("666f4511"): ("NoEquivalence", (("replicas", "uint8"),)),
    bytes.fromhex("3ce93497"): ("NoOutputTokens", ()),
    bytes.fromhex("512608c2"): (
        "NoSuchLeaf",
        (("task_id", "bytes32"), ("leaf", "uint32"), ("leaves", "uint256")),
    ),
    bytes.fromhex("fff7d58e"): ("NotArbiter", (("caller", "address"), ("arbiter", "address"))),
    bytes.fromhex("1fc2efda"): ("NotReplicated", (("task_id", "bytes32"),)),
    bytes.fromhex("0691b032"): ("NotRequester", (("caller", "address"), ("requester", "address"))),
    bytes.fromhex("5b116727"): ("NotWholeUnits", (("amount_wei", "uint256"),)),
    bytes.fromhex("e5d4738d"): (
        "NotWorker",
        (("task_id", "bytes32"), ("caller", "address"), ("worker", "address")),
    ),
    bytes.fromhex("4e4c8b3c"): ("QuorumCommitted", (("task_id", "bytes32"),)),
    bytes.fromhex("1bec82b6"): ("RevealEnded", (("task_id", "bytes32"), ("until", "uint32"))),
    bytes.fromhex("46c57a98"): ("RevealNotDue", (("task_id", "bytes32"), ("committed", "uint8"))),
    bytes.fromhex("9d98f12a"): ("RevealNotOpen", (("task_id", "bytes32"),)),
    bytes.fromhex("af1845bd"): ("RevealRunning", (("task_id", "bytes32"), ("until", "uint32"))),
    bytes.fromhex("4df8a8f1"): ("RulingTimeRunning", (("task_id", "bytes32"), ("until", "uint32"))),
    bytes.fromhex("838dda24"): ("RulingTooLate", (("task_id", "bytes32"), ("until", "uint32"))),
    bytes.fromhex("c2a50498"): ("TipNotRaised", (("tip", "uint48"), ("new_tip", "uint48"))),
    bytes.fromhex("1336c18e"): ("TokenMisbehaved", (("expected", "uint256"), ("changed", "uint256"))),
    bytes.fromhex("9866ebbb"): (
        "TooManyTokens",
        (("task_id", "bytes32"), ("output_tokens", "uint32"), ("max_output_tokens", "uint32")),
    ),
    bytes.fromhex("2374d510"): ("WindowEnded", (("task_id", "bytes32"), ("until", "uint32"))),
    bytes.fromhex("92873d13"): ("WithdrawalFailed", (("to", "address"), ("amount_wei", "uint256"))),
    bytes.fromhex("c7dc13fc"): ("WrongCurrency", (("token", "address"),)),
    bytes.fromhex("93b2246a"): (
        "WrongLeafLength",
        (("task_id", "bytes32"), ("leaf", "uint32"), ("tokens", "uint256"), ("expected", "uint256")),
    ),
    bytes.fromhex("ea884b50"): (
        "WrongSeat",
        (("task_id", "bytes32"), ("worker", "address"), ("state", "uint8")),
    ),
    bytes.fromhex("2b3263b3"): ("WrongState", (("task_id", "bytes32"), ("state", "uint8"))),
    bytes.fromhex("d92e233d"): ("ZeroAddress", ()),
    bytes.fromhex("d77deb07"): ("NoInversion", (("why", "string"),)),
    bytes.fromhex("64dbd987"): ("AlreadyCommitted", (("member", "address"),)),
    bytes.fromhex("1cbd04e0"): ("AlreadyOpen", (("market", "address"), ("task_id", "bytes32"))),
    bytes.fromhex("a7127cc5"): ("AlreadyRuled", (("market", "address"), ("task_id", "bytes32"))),
    bytes.fromhex("6fc9fef6"): ("BadPanel", (("name", "string"), ("value", "uint256"))),
    bytes.fromhex("ae38c172"): ("CommitEnded", (("commit_until", "uint32"),)),
    bytes.fromhex("c9e0e757"): ("CommitmentMismatch", (("committed", "bytes32"), ("revealed", "bytes32"))),
    bytes.fromhex("08672d72"): (
        "NoMajority",
        (("faulty", "uint8"), ("sound", "uint8"), ("threshold", "uint8")),
    ),
    bytes.fromhex("45047d63"): ("NotDisputed", (("market", "address"), ("task_id", "bytes32"))),
    bytes.fromhex("16d6142c"): ("NotMember", (("caller", "address"),)),
    bytes.fromhex("2dd335a5"): ("NotOpen", (("market", "address"), ("task_id", "bytes32"))),
    bytes.fromhex("64108e32"): ("NotOurMarket", (("market", "address"), ("arbiter", "address"))),
    bytes.fromhex("557eefa9"): ("NothingToCollect", (("member", "address"),)),
    bytes.fromhex("eb057366"): ("RevealEnded", (("reveal_until", "uint32"),)),
    bytes.fromhex("6f8f25c4"): ("RevealNotBegun", (("commit_until", "uint32"),)),
    bytes.fromhex("138f57d7"): ("TooLateToOpen", (("end", "uint256"), ("latest", "uint32"))),
    bytes.fromhex("ad9156b8"): ("VoteNotCommitted", (("member", "address"),)),
}


def _batch_posted(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.BatchPosted(at, topics[1], address(topics[2]), uint(data, 0))


def _bond_slashed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.BondSlashed(
        at, topics[1], address(topics[2]), uint(data, 0), uint(data, 1), uint(data, 2)
    )


def _challenge_lost(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.ChallengeLost(
        at, topics[1], address(topics[2]), uint(data, 0), uint(data, 1), uint(data, 2)
    )


def _challenge_returned(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.ChallengeReturned(at, topics[1], address(topics[2]), uint(data, 0))


def _commitment_burned(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.CommitmentBurned(at, topics[1], address(topics[2]), uint(data, 0))


def _demand_closed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.DemandClosed(at, topics[1], uint(topics[2], 0), address(topics[3]), uint(data, 0))


def _demand_lapsed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.DemandLapsed(at, topics[1], uint(topics[2], 0), address(topics[3]), uint(data, 0))


def _deposited(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.Deposited(at, address(topics[1]), uint(data, 0))


def _leaf_answered(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.LeafAnswered(
        at, topics[1], uint(topics[2], 0), uints_at(data, 0), uint(data, 1), uint(data, 2)
    )


def _leaf_demanded(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.LeafDemanded(at, topics[1], uint(topics[2], 0), address(topics[3]), uint(data, 0))


def _lease_lapsed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.LeaseLapsed(at, topics[1], address(topics[2]), uint(data, 0))


def _lease_released(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.LeaseReleased(at, topics[1], address(topics[2]), uint(data, 0))


def _priority_raised(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.PriorityRaised(at, topics[1], uint(data, 0), uint(data, 1), uint(data, 2))


def _request_revoked(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.RequestRevoked(at, topics[1], address(topics[2]))


def _result_committed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.ResultCommitted(at, topics[1], address(topics[2]), data[0:32])


def _result_posted(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.ResultPosted(at, topics[1], topics[2], data[0:32], uint(data, 1), uint(data, 2))


def _result_revealed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.ResultRevealed(at, topics[1], address(topics[2]), data[0:32], data[32:64], uint(data, 2))


def _reveal_opened(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.RevealOpened(at, topics[1], uint(data, 0))


def _round_won(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.RoundWon(at, topics[1], topics[2], uint(data, 0), uint(data, 1), uint(data, 2))


def _seat_paid(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.SeatPaid(at, topics[1], address(topics[2]), uint(data, 0), uint(data, 1))


def _task_challenged(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.TaskChallenged(at, topics[1], address(topics[2]), uint(data, 0), uint(data, 1))


def _task_claimed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.TaskClaimed(at, topics[1], address(topics[2]), uint(data, 0))


def _task_refunded(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.TaskRefunded(at, topics[1], uint(data, 0), uint(data, 1))


def _task_ruled(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.TaskRuled(at, topics[1], uint(data, 0) != 0)


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


def _inversion_recorded(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.InversionRecorded(at, topics[1], topics[2], address(topics[3]), uint(data, 0))


def _model_announced(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.ModelAnnounced(at, topics[1], address(topics[2]), text_at(data, 0))


def _store_announced(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.StoreAnnounced(at, address(topics[1]), text_at(data, 0))


def _hearing_opened(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.HearingOpened(at, address(topics[1]), topics[2], uint(data, 0), uint(data, 1))


def _hearing_ruled(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.HearingRuled(
        at, address(topics[1]), topics[2], uint(data, 0) != 0, uint(data, 1), uint(data, 2)
    )


def _share_collected(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.ShareCollected(
        at, address(topics[1]), address(topics[2]), address(topics[3]), uint(data, 0)
    )


def _vote_committed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.VoteCommitted(at, address(topics[1]), topics[2], address(topics[3]), data[0:32])


def _vote_revealed(at: Place, topics: Sequence[bytes], data: bytes) -> Event:
    return lifecycle.VoteRevealed(at, address(topics[1]), topics[2], address(topics[3]), uint(data, 0) != 0)


EventDecoder: TypeAlias = Callable[[Place, Sequence[bytes], bytes], Event]
# First topic -> decoder; the others are indexed values.
EVENTS: dict[bytes, EventDecoder] = {
    bytes.fromhex("a35437bbca8f69541f9d5ccd0f195d88fd6667977f2be80d1cc1e32540376a43"): _batch_posted,
    bytes.fromhex("ca0ab15d7ba1f66d4de44db180308c3ecacfe05aabbdc5477a2277af6e960d3d"): _bond_slashed,
    bytes.fromhex("c195e8378d803d0ac88bf1eddec3cf6373eb8dacbde9c4aad40c5e31c7d195d4"): _challenge_lost,
    bytes.fromhex("f9e2538a94f953b612a36bf3bac65b76e8ada87becc566ec0561099ee1962538"): _challenge_returned,
    bytes.fromhex("dac7eacf85070ce268fe497cea9f15bb83c827f3fd7faf7ab48801bd1f020efc"): _commitment_burned,
    bytes.fromhex("a2bf2b860d9f41ac5c70d2c1f3c9d612b0751c57f586f4be1933760f7288bf8c"): _demand_closed,
    bytes.fromhex("f5bf7b000a71277ab5518e6f6b7dfaef9df4305951e8db18ccd18de1f8f717d0"): _demand_lapsed,
    bytes.fromhex("dda0f60b22a66d7dc2e2a6fa8fd7def45a6f707773244ca1852ecca2b6cbb5fe"): _deposited,
    bytes.fromhex("49a87043fc6203d5c942af551c3a11c0b722d1d98d04dcf74d61d89b630ba13a"): _leaf_answered,
    bytes.fromhex("2c556588957fa250778c5249b0b6f3911650862402d8ee4be5f62489d190fe5a"): _leaf_demanded,
    bytes.fromhex("2f12abd3682c9c4df3130fc47743bde10339bd2c276d779d8fd39b82e4d3cb0c"): _lease_lapsed,
    bytes.fromhex("eb18d9abde4ccf0d52ff9d283a91ba441ac7caa6796b1c9898328a74ad1a895d"): _lease_released,
    bytes.fromhex("da9cd95d9721fd342fadbb2a328dc05a8dfc061ffb2d214280ad3ac07e36d711"): _priority_raised,
    bytes.fromhex("13eea763c51bfdd274b845d7e0d06afce51e34b6e35e92955ee529b1165eb9ac"): _request_revoked,
    bytes.fromhex("dc128994eeaa7a03aeb618d06598175b2088b29b5cd07a91e4f0a5bdcb0a869f"): _result_committed,
    bytes.fromhex("44b7636ca1c84c496052cf5dbf30adc8d0dadc60188b6991480e1df590c07f53"): _result_posted,
    bytes.fromhex("d60e65e19919365dd53d02b21874c645372f47bfdf8458cca41cfedc6a592c0b"): _result_revealed,
    bytes.fromhex("83f50b125af58476a3871fee30a3536a5a52a907ba2360f825e4b9a126c17244"): _reveal_opened,
    bytes.fromhex("65dbf7a8965809ce10fdb710245ca3a30a4733a6e9eba4534957450993c4ee45"): _round_won,
    bytes.fromhex("e963dd3fa07d1f15321e68807f389bb90fc4ed4eb6b433c53a702636cff29067"): _seat_paid,
    bytes.fromhex("da6e420af893756184afdd6e283467b3fce2348188fa0b30f9a708ca96b9c920"): _task_challenged,
    bytes.fromhex("427c6222900efcd8bcaafa33806be7ae155edaf4a3c067a9085b406ba8a55112"): _task_claimed,
    bytes.fromhex("285f3584d6afe1ef8786cd40abeb81c2ff91cece28cb7a1b6c42dcd5ae49f49e"): _task_refunded,
    bytes.fromhex("33fefd3c5926764ca12701ebb99a15258aa0dcb5105b49f39486a30f5d70d6aa"): _task_ruled,
    bytes.fromhex("69568fad3d173e7bb30d64c9793260c29184563dae723839faf07029d787c28f"): _task_settled,
    bytes.fromhex("aa0103cca2004da9b8bfb9c591d19eb04c8ea47478b7381e76b4d4e223a6f617"): _task_skipped,
    bytes.fromhex("f70c9686d92bef5e4c6ea4a18d3803e3efc437d1f9a50fdf9d47a1f79f18e424"): _task_submitted,
    bytes.fromhex("6e6e54d2933c54e86384932153b0244ddd09a166888407646f12cb83392e4bc1"): _withdrawn,
    bytes.fromhex("63dfbde5f15429d8745ca8e359475406d740604cd7430486b271cd76216ff2b1"): _worker_indexed,
    bytes.fromhex("79f10d096a046b7a6d4ad7b3784004fbd196b687c4a532b9ef4c578f367fabdf"): _inversion_recorded,
    bytes.fromhex("22cb712b725771409cc6b936f2abb7f3b4a34a29518b55ea2fa15f431a2ef6d0"): _model_announced,
    bytes.fromhex("41d11b8d3f196954a58bccb601eb193dd62bfe40a00bc90f6ba6a499024659a8"): _store_announced,
    bytes.fromhex("de45b1c47df301292cf0f6152ea17bc028f5dc72db6be8076c502f4b12b95945"): _hearing_opened,
    bytes.fromhex("6afed275733dc8579cea13b0156dcaadbe5370a875cd70d7ec7d1c57e7f86fbb"): _hearing_ruled,
    bytes.fromhex("0ac579c92473fb8ffa906298fea1f8597670c351ec84d22f484df46f170f10a1"): _share_collected,
    bytes.fromhex("ed5f878f225ae4e1fd4da045e4d5f5412ef932eff500eec035df5c0a2a48aed6"): _vote_committed,
    bytes.fromhex("2755d84eddd9c9543d71309318212b07accc7c555b4eb94924ec19bad71067d5"): _vote_revealed,
}
