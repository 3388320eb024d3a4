"""Every reason the worker can give, by the code an operator searches for."""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Reason:
    """A code and the plain words for this occasion."""

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"


CODES = MappingProxyType(
    {
        "CLAIM-001": "more than one replica is asked for, which this worker does not serve",
        "CLAIM-002": "the model is not one this worker serves",
        "CLAIM-003": "the lease is too short for the work",
        "CLAIM-004": "the bond is above the operator's limit",
        "CLAIM-005": "maxOutputTokens is below what the parameters allow the prompts to produce",
        "CLAIM-006": "the deadline leaves no room for a full lease",
        "CLAIM-007": "the price does not cover gas and engine time",
        "CLAIM-008": "this worker held the task before and released or lost it",
        "CLAIM-009": "an equivalence class is asked for, which this worker does not belong to",
        "CLAIM-010": "nobody could be served: every prompt is an error",
        "CLAIM-011": "the task asks for more tokens than the operator takes on at once",
        "CLAIM-020": "claimed: best priority among the tasks that can be served",
        "CLAIM-021": "another worker was faster",
        "FETCH-001": "the input is not in the store",
        "FETCH-002": "the input does not match its digest",
        "FETCH-003": "the input is larger than the limit",
        "FETCH-004": "the input is malformed",
        "FETCH-005": "the store cannot be reached; asked again later",
        "FETCH-006": "the parameters are missing, malformed or do not match their digest",
        "FETCH-007": "the input's address is of a kind this worker does not read",
        "FETCH-008": "a prompt cannot be tokenised",
        "FETCH-009": "the input lies outside the store, where nothing answers",
        "WAIT-001": "free balance does not cover the bond",
        "RUN-001": "given to the engine",
        "RUN-002": "generated",
        "RUN-003": "the engine failed on it",
        "POST-001": "sent for posting",
        "POST-002": "posted",
        "POST-003": "the market did not take the result",
        "SETTLE-001": "the challenge window is over: settled",
        "SETTLE-002": "settled and paid",
        "RELEASE-001": "given back: the engine failed on it too often",
        "RELEASE-004": "given back: its input can no longer be read",
        "LOST-001": "the lease lapsed before a result was posted",
        "LOST-002": "somebody consumed the lapse; the bond is burned",
        "END-001": "refunded to the requester",
        "WITHDRAW-001": "free balance withdrawn",
    }
)
"""What each code means in general; a `Reason` says it for one task."""
