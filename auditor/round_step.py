"""The round of a replicated task counted again: what each seat committed to, revealed, and which verdict won."""

from collections import Counter
from dataclasses import dataclass

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from auditor.case import Case
from auditor.findings import Finding, Lacking, Refuted, counted
from chain.market import Market
from protocol.abi import parse_address
from protocol.digest import to_hex
from protocol.lifecycle import ResultRevealed, RoundWon, SeatState, SeatView, TaskView
from protocol.money import quorum
from protocol.receipt import Body, body_digest, commitment, verdict

_BODY = "(bytes32,address,bytes32,bytes32,bytes32,bytes32,uint32,uint64,uint64)"
_REVEAL = [_BODY, "uint32", "bytes32"]


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a `reveal` transaction showed."""

    body: Body
    output_tokens: int
    salt: bytes


def check_round(case: Case, market: Market) -> Finding:
    """The verdicts count up to what the market said, and each commitment opens to what was revealed.

    Raises Lacking before the round is closed.
    """
    task = case.task
    revealed = [seat for seat in task.seats if seat.verdict]
    if not revealed or any(seat.state is SeatState.REVEALED for seat in task.seats):
        raise Lacking(f"the round is not closed: the task is {task.state.name.lower()}")
    opened = sum(_check_opening(case, market, seat) for seat in revealed)
    votes = Counter(seat.verdict for seat in revealed)
    leading, most = max(votes.items(), key=lambda item: item[1])
    _compare_count(case, task, leading, most)
    needed = quorum(task.request.replicas)
    minority = [seat.worker for seat in revealed if seat.verdict != leading]
    silent = [seat.worker for seat in task.seats if seat.commitment and not seat.verdict]
    won = most >= needed
    sentence = (
        f"of {task.request.replicas} replicas {most} agree on {to_hex(leading)[:18]}, {needed} had to"
        if won
        else f"no verdict has {needed} of {task.request.replicas} replicas, the largest has {most}"
    )
    apart = f"; {', '.join(minority)} answered otherwise" if won and minority else ""
    unseen = f"; {', '.join(silent)} did not reveal and lost the bond" if silent else ""
    return Finding(
        f"{sentence}{apart}{unseen}; {counted(opened, 'commitment')} of {len(revealed)} opened again",
        {
            "replicas": task.request.replicas,
            "verdict": to_hex(leading) if won else None,
            "winners": [seat.worker for seat in revealed if won and seat.verdict == leading],
            "minority": minority if won else [],
            "not_revealed": silent,
            "verdicts": {seat.worker: to_hex(seat.verdict) for seat in revealed},
            "commitments_opened": opened,
        },
    )


def _compare_count(case: Case, task: TaskView, leading: bytes, most: int) -> None:
    said = next(
        (
            event
            for event in case.history.events
            if isinstance(event, RoundWon) and event.task_id == case.task_id
        ),
        None,
    )
    has_quorum = most >= quorum(task.request.replicas)
    if has_quorum != (said is not None):
        raise Refuted(
            f"the largest verdict has {most} seats, the market {'named' if said else 'named no'} winner"
        )
    if said is not None and (said.verdict, said.winners) != (leading, most):
        raise Refuted(
            f"the market named {said.winners} winners with {to_hex(said.verdict)}, the seats give {most} with "
            f"{to_hex(leading)}"
        )


def _check_opening(case: Case, market: Market, seat: SeatView) -> bool:
    """Whether the reveal could be read back; a contract that revealed for the worker hides its data from us."""
    event = next(
        event
        for event in case.history.events
        if isinstance(event, ResultRevealed) and (event.task_id, event.worker) == (case.task_id, seat.worker)
    )
    shown = _opened(market, event.at.tx_hash)
    if shown is None or shown.body.worker != seat.worker:
        return False
    body = body_digest(case.deployment.domain, shown.body)
    if body != event.body:
        raise Refuted(
            f"the body {seat.worker} revealed hashes to {to_hex(body)}, said was {to_hex(event.body)}"
        )
    if commitment(body, shown.output_tokens, shown.salt) != seat.commitment:
        raise Refuted(f"{seat.worker} committed to {to_hex(seat.commitment)}, which is not what it revealed")
    if verdict(shown.body, shown.output_tokens) != seat.verdict:
        raise Refuted(f"the verdict of {seat.worker} is not that of the body it revealed")
    return True


def _opened(market: Market, tx_hash: bytes) -> _Opened | None:
    """From the data of a transaction that called `reveal` itself."""
    answer = market.rpc.call("eth_getTransactionByHash", to_hex(tx_hash))
    if not isinstance(answer, dict):
        return None
    try:
        data = bytes.fromhex(str(answer.get("input", answer.get("data", "0x")))[2:])
        (
            (task, worker, output_root, table, engine, strategy, prompt_tokens, started, finished),
            tokens,
            salt,
        ) = decode(_REVEAL, data[4:])
    except (DecodingError, OverflowError, ValueError):
        return None
    body = Body(
        task_id=task,
        worker=parse_address("worker", worker),
        output_root=output_root,
        table_digest=table,
        engine_digest=engine,
        strategy_digest=strategy,
        prompt_tokens=prompt_tokens,
        started_at_ms=started,
        finished_at_ms=finished,
    )
    # The same call built again, to the byte: nothing else that happens to decode will pass for it.
    if market.reveal(body, tokens, salt).data != data:
        return None
    return _Opened(body, tokens, salt)
