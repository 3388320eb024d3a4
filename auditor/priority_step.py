"""Step 6: was a better-ranked task, no worse for the worker, passed over when this one was claimed?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auditor.case import Case
from auditor.findings import Finding, Lacking
from protocol.digest import to_hex
from protocol.inversion import Inversion, inversion
from protocol.lifecycle import Event, InversionRecorded, TaskClaimed
from protocol.parameters import Parameters
from protocol.priority import rank_key
from protocol.replay import MarketReplay


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim and the better-ranked tasks it passed over, the best first."""

    event: TaskClaimed
    inversions: tuple[Inversion, ...]


def check_priority(case: Case) -> Finding:
    """Step 6. An inversion is listed, not refuted: the skipped task's input may have been dead."""
    last = _last_claims(case)
    if not last:
        raise Lacking("nobody has claimed the task yet")
    deployment = case.deployment
    claims = tuple(judged(case.history.events, last, deployment.parameters, deployment.currency.unit))
    recorded = [
        event
        for event in case.history.events
        if isinstance(event, InversionRecorded) and event.taken == case.task_id
    ]
    return Finding(
        "; ".join(_sentence(claim) for claim in claims) + _recorded_words(recorded),
        {
            "inversions": [to_hex(item.skipped) for claim in claims for item in claim.inversions],
            "claims": [
                {
                    "worker": claim.event.worker,
                    "claimed_at": claim.event.at.timestamp,
                    "inversions": [to_hex(item.skipped) for item in claim.inversions],
                }
                for claim in claims
            ],
            "recorded": [to_hex(event.skipped) for event in recorded],
        },
    )


def _last_claims(case: Case) -> list[TaskClaimed]:
    """The claims that led to the task's present state: the last one, or of each replica its last."""
    claims = [
        event
        for event in case.history.events
        if isinstance(event, TaskClaimed) and event.task_id == case.task_id
    ]
    if case.submitted.request.replicas == 1:
        return claims[-1:]
    return list({event.worker: event for event in claims}.values())


def judged(
    events: Sequence[Event], claims: Sequence[TaskClaimed], parameters: Parameters, unit: int
) -> Iterator[Claim]:
    """What each claim passed over against the published order; those the same transaction claims are not passed over.

    One pass over the history, which must be all of the market's.
    """
    market = MarketReplay(parameters)
    asked = {
        claim.at.tx_hash: [each for each in claims if each.at.tx_hash == claim.at.tx_hash] for claim in claims
    }
    together = _claimed_together(events)
    for event in events:
        for claim in asked.pop(event.at.tx_hash, ()):
            yield Claim(claim, _passed_over(market, claim, together[claim.at.tx_hash], parameters, unit))
        market.apply(event)


def _claimed_together(events: Sequence[Event]) -> dict[bytes, set[bytes]]:
    """Tasks claimed, by transaction."""
    found: dict[bytes, set[bytes]] = {}
    for event in events:
        if isinstance(event, TaskClaimed):
            found.setdefault(event.at.tx_hash, set()).add(event.task_id)
    return found


def _passed_over(
    before: MarketReplay, claim: TaskClaimed, together: set[bytes], parameters: Parameters, unit: int
) -> tuple[Inversion, ...]:
    """`before` is the market just before the claim's transaction."""
    taken = before.task(claim.task_id)
    found = []
    for other in before.view().tasks.values():
        if other.task_id in together:
            continue
        judgement = inversion(taken, other, claim.at.timestamp, parameters, unit)
        if isinstance(judgement, Inversion):
            found.append(judgement)
    return tuple(sorted(found, key=lambda item: rank_key(item.lead_wei, item.skipped)))


def _sentence(claim: Claim) -> str:
    event = claim.event
    at = f"when {event.worker} claimed it in block {event.at.block_number}"
    if not claim.inversions:
        return f"{at}, no better-ranked task was open that suited the worker as well"
    listed = ", ".join(
        f"{to_hex(item.skipped)[:18]} (open for {item.waited_secs} s)" for item in claim.inversions[:3]
    )
    return f"{at}, {len(claim.inversions)} better-ranked task(s) were passed over: {listed}"


def _recorded_words(recorded: Sequence[InversionRecorded]) -> str:
    if not recorded:
        return ""
    listed = ", ".join(to_hex(event.skipped)[:18] for event in recorded[:3])
    return f"; {len(recorded)} recorded on chain: {listed}"
