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
        "CLAIM-002": "the model is not one this worker serves",
        "CLAIM-003": "the lease is too short for the work",
        "CLAIM-004": "the bond is above the operator's limit",
        "CLAIM-005": "maxOutputTokens is below what the parameters allow the prompts to produce",
        "CLAIM-006": "the deadline leaves no room for a full lease",
        "CLAIM-007": "the price does not cover gas and engine time",
        "CLAIM-008": "this worker held the task before and released or lost it",
        "CLAIM-009": "an equivalence class is asked for, of which this worker's engine is not",
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
        "FETCH-010": "the equivalence class is missing, malformed or does not match its digest",
        "WAIT-001": "free balance does not cover the bond",
        "RUN-001": "given to the engine",
        "RUN-002": "generated",
        "RUN-003": "the engine failed on it",
        "POST-001": "sent for posting",
        "POST-002": "posted",
        "POST-003": "the market did not take the result",
        "COMMIT-001": "sent: the commitment of a replica, which hides its result",
        "COMMIT-002": "committed",
        "COMMIT-003": "the market did not take the commitment",
        "REVEAL-001": "sent: the reveal of what was committed to",
        "REVEAL-002": "revealed",
        "REVEAL-003": "the market did not take the reveal",
        "ROUND-001": "the deadline has passed with a quorum: the reveal is opened",
        "ROUND-002": "all have revealed, or the time is over: the round is closed",
        "ROUND-003": "the verdict has the quorum; its challenge window runs",
        "ROUND-004": "another verdict has the quorum; the bond came back, nothing was paid",
        "ROUND-005": "no verdict has the quorum; half of the charge was paid",
        "ROUND-006": "too few committed before the deadline; the bond came back",
        "DEMAND-001": "somebody calls for a leaf of the output",
        "DEMAND-002": "the leaf was shown",
        "DEMAND-003": "a leaf called for cannot be shown",
        "DEMAND-004": "sent: the leaf that is called for",
        "DISPUTE-001": "the result was challenged",
        "DISPUTE-002": "the arbiter was silent: settled",
        "DISPUTE-003": "found sound: the challenger lost the bond",
        "SETTLE-001": "the challenge window is over: settled",
        "SETTLE-002": "settled and paid",
        "RELEASE-001": "given back: the engine failed on it too often",
        "RELEASE-002": "given back: the work left takes far longer than the lease",
        "RELEASE-003": "given back: its turn in the engine did not come in time",
        "RELEASE-004": "given back: its input can no longer be read",
        "LOST-001": "the lease lapsed before a result was posted",
        "LOST-002": "somebody consumed the lapse; the bond is burned",
        "LOST-003": "what was committed to was not revealed; the bond is burned",
        "LOST-004": "a demand was not answered; the bond is burned",
        "LOST-005": "found faulty by the arbiter; the bond is lost",
        "END-001": "refunded to the requester",
        "WITHDRAW-001": "free balance withdrawn",
        "LEARN-001": "a meta-model that learned from this worker's jobs chooses from now on",
        "LEARN-002": "retrained; the meta-model stays, for the new one is not better beyond chance",
        "LEARN-003": "not retrained",
    }
)
"""What each code means in general; a `Reason` says it for one task."""
