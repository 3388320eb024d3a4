"""Logs of the market and the registry as the events of `protocol.events`."""

from collections.abc import Iterable, Mapping
from typing import cast

from chain.bindings import EVENTS
from chain.rpc import GarbledAnswer, Rpc, StaleHead
from protocol.digest import JsonValue
from protocol.lifecycle import Event, Place


def decode_logs(rpc: Rpc, logs: Iterable[JsonValue]) -> tuple[Event, ...]:
    """Events in the order of `logs`, with their blocks' timestamps; logs of other kinds are left out.

    Raises RpcUnavailable if a log is garbled or its block is no longer the chain's.
    """
    found = [_fields(rpc, log) for log in logs]
    times = _timestamps(rpc, found)
    return tuple(event for log in found if (event := _decode(rpc, log, times)) is not None)


def _decode(rpc: Rpc, log: Mapping[str, JsonValue], times: Mapping[str, int]) -> Event | None:
    try:
        topics = [bytes.fromhex(topic[2:]) for topic in cast("list[str]", log["topics"])]
        decoder = EVENTS.get(topics[0]) if topics else None
        if decoder is None:
            return None
        place = Place(
            block_number=int(cast("str", log["blockNumber"]), 16),
            block_hash=bytes.fromhex(cast("str", log["blockHash"])[2:]),
            tx_hash=bytes.fromhex(cast("str", log["transactionHash"])[2:]),
            log_index=int(cast("str", log["logIndex"]), 16),
            timestamp=times[cast("str", log["blockHash"])],
        )
        return decoder(place, topics, bytes.fromhex(cast("str", log["data"])[2:]))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise GarbledAnswer(rpc.masked_url, f"a garbled log: {error}") from error


def _fields(rpc: Rpc, log: JsonValue) -> Mapping[str, JsonValue]:
    if not isinstance(log, dict) or not isinstance(log.get("blockHash"), str):
        raise GarbledAnswer(rpc.masked_url, "a garbled log")
    return log


def _timestamps(rpc: Rpc, logs: list[Mapping[str, JsonValue]]) -> dict[str, int]:
    """By block hash. Nodes that put `blockTimestamp` into logs save the round trip."""
    times: dict[str, int] = {}
    missing: dict[str, None] = {}
    for log in logs:
        block_hash, stamp = str(log["blockHash"]), log.get("blockTimestamp")
        if isinstance(stamp, str):
            times[block_hash] = int(stamp, 16)
        else:
            missing[block_hash] = None
    answers = rpc.batch([("eth_getBlockByHash", [block_hash, False]) for block_hash in missing])
    for block_hash, answer in zip(missing, answers, strict=True):
        if answer is None:
            raise StaleHead(rpc.masked_url, "its chain was reorganised while it was read")
        if isinstance(answer, Exception):
            raise answer
        times[block_hash] = rpc.parse_block(answer).timestamp
    return times
