"""A task served by hand on the real node, honestly or not, for the auditor to look at."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from chain.devnet import Devnet, dev_account
from chain.market import Market
from chain.rpc import Rpc
from chain.sender import Sender
from chain.store import ContentStore, input_key, manifest_key, output_key, params_key, receipt_key
from engine.base import Completion, Engine, GenerationRequest, Sampling
from engine.tokenizer import Tokenizer
from metainf import HardwareFacts, ModelFacts, SelectionState, Selector, Workload
from protocol.batchfile import Message, OutputEntry, OutputFile, Prompt, write_input, write_output
from protocol.digest import ZERO_DIGEST, JsonValue, sha256
from protocol.domain import ETHER_UNITS
from protocol.equivalence import EquivalenceClass
from protocol.manifest import build_manifest, model_id
from protocol.params import GenerationParams
from protocol.receipt import ReceiptDocument, commitment, replica_salt
from protocol.request import Request, task_id
from tests.checkout import ROOT
from tests.honest import receipt_of
from tests.patience import PATIENCE_SECS

MODEL_DIR = ROOT / "models" / "quern-demo"
REQUESTER, OPERATOR = dev_account(3), dev_account(4)
REPLICAS = (OPERATOR, dev_account(5), dev_account(6))
CLASS = EquivalenceClass({"engine": "transformers"})
PARAMS = GenerationParams(max_tokens=12)
WINDOW_SECS = 5
ANSWER_SECS = 20
LEASE_SECS = 60

Entries = tuple[OutputEntry, ...]


def as_they_are(entries: Entries) -> Entries:
    return entries


class Bench:
    """Submits, generates and posts; each step can be made dishonest."""

    def __init__(self, devnet: Devnet, folder: Path, engine: Engine) -> None:
        self.devnet, self.engine = devnet, engine
        self.rpc = Rpc(devnet.rpc_url, PATIENCE_SECS)
        self.market = Market(self.rpc, devnet.deployment)
        self.store = ContentStore(str(folder / "store"))
        self.requester, self.operator = Sender(self.rpc, REQUESTER), Sender(self.rpc, OPERATOR)
        self.tokenizer = Tokenizer(MODEL_DIR)
        self.salt = 0
        manifest = build_manifest(MODEL_DIR)
        self.model = model_id(manifest)
        self.store.put(manifest_key(self.model), manifest.encoded())
        self.operator.send_and_wait(self.market.deposit(OPERATOR.address, ETHER_UNITS))

    def submit(
        self, *questions: str, tip_units: int = 0, params: GenerationParams = PARAMS, replicas: int = 1
    ) -> Request:
        """A task of chat questions, on chain and open."""
        self.salt += 1
        prompts = [
            Prompt(f"q{place}", messages=(Message("user", text),)) for place, text in enumerate(questions)
        ]
        data = write_input(self.salt.to_bytes(32, "big"), prompts)
        self.store.put(input_key(sha256(data)), data)
        self.store.put(params_key(params.digest()), params.encoded())
        request = Request(
            requester=REQUESTER.address,
            salt=self.salt.to_bytes(32, "big"),
            model_id=self.model,
            input_digest=sha256(data),
            params_digest=params.digest(),
            max_fee_units=50_000,
            replicas=replicas,
            equivalence=CLASS.digest() if replicas > 1 else ZERO_DIGEST,
            flat_percent=20,
            tip_units=tip_units,
            max_output_tokens=params.max_tokens * len(questions),
            bond_units=1,
            deadline=self.now() + 3_600,
            lease_secs=LEASE_SECS,
            input_uri=input_key(sha256(data)),
        )
        price_units = request.max_fee_units * replicas + tip_units
        self.requester.send_and_wait(self.market.submit(request, price_units))
        return request

    def serve(
        self,
        *questions: str,
        alter: Callable[[Entries], Entries] = as_they_are,
        select: Callable[[dict[str, JsonValue]], dict[str, JsonValue]] = dict,
        params: GenerationParams = PARAMS,
    ) -> bytes:
        """From submit to settled, window and all. `alter` and `select` make the post dishonest."""
        request = self.submit(*questions, params=params)
        served = task_id(self.market.domain, request)
        self.operator.send_and_wait(self.market.claim_many([served]))
        entries = alter(self.generate(questions, params))
        self.post(served, entries, select(self.selection(questions, params)))
        self.rpc.call("evm_increaseTime", WINDOW_SECS + 1)
        self.operator.send_and_wait(self.market.settle_many([served]))
        return served

    def answered(self, *questions: str) -> bytes:
        """Posted, and inside its challenge window."""
        served = task_id(self.market.domain, self.submit(*questions))
        self.operator.send_and_wait(self.market.claim_many([served]))
        self.post(served, self.generate(questions, PARAMS), self.selection(questions, PARAMS))
        return served

    def agreed(
        self,
        *questions: str,
        alter: Sequence[Callable[[Entries], Entries]] = (as_they_are,) * len(REPLICAS),
        silent: Sequence[int] = (),
    ) -> bytes:
        """A round of three replicas, from submit to its count; those in `silent` never reveal.

        What the first replica made is what lies in the store.
        """
        served = task_id(self.market.domain, self.submit(*questions, replicas=len(REPLICAS)))
        entries, selection = self.generate(questions, PARAMS), self.selection(questions, PARAMS)
        seats = []
        for operator, change in zip(REPLICAS, alter, strict=True):
            sender = Sender(self.rpc, operator)
            sender.send_and_wait(self.market.deposit(operator.address, ETHER_UNITS))
            sender.send_and_wait(self.market.claim_many([served]))
            document = self.document(served, change(entries), selection, operator.address)
            receipt, salt = document.receipt(), replica_salt(bytes(operator.key), served)
            hidden = commitment(receipt.body, receipt.output_tokens, salt)
            sender.send_and_wait(self.market.commit(served, hidden))
            seats.append((sender, document, salt))
        self.store_result(served, alter[0](entries), seats[0][1])
        for place, (sender, document, salt) in enumerate(seats):
            if place not in silent:
                sender.send_and_wait(self.market.reveal(document.body, document.output_tokens, salt))
        if silent:
            self.later(ANSWER_SECS + 1)
        self.operator.send_and_wait(self.market.close_round(served))
        return served

    def later(self, secs: int) -> None:
        """Moves the chain's clock."""
        self.rpc.call("evm_increaseTime", secs)
        self.rpc.call("evm_mine")

    def generate(self, questions: Sequence[str], params: GenerationParams) -> Entries:
        """Real greedy tokens of the demo model."""
        prompts = [self.tokenizer.encode_chat([{"role": "user", "content": text}]) for text in questions]
        self.engine.submit(
            [
                GenerationRequest(f"q{place}", ids, params.max_tokens, Sampling())
                for place, ids in enumerate(prompts)
            ]
        )
        done: dict[str, Completion] = {}
        while len(done) < len(prompts):
            for event in self.engine.events(30.0):
                if isinstance(event, Completion):
                    done[event.request_id] = event
        return tuple(
            self.entry(f"q{place}", done[f"q{place}"].token_ids, done[f"q{place}"].finish_reason, len(ids))
            for place, ids in enumerate(prompts)
        )

    def entry(self, custom_id: str, tokens: Sequence[int], reason: str, prompt_tokens: int) -> OutputEntry:
        """With the text that the tokens have."""
        return OutputEntry(custom_id, self.tokenizer.decode(tokens), tuple(tokens), reason, prompt_tokens)

    def retold(self, entry: OutputEntry, tokens: Sequence[int], reason: str | None = None) -> OutputEntry:
        """Other tokens under the same prompt, consistent in every digest."""
        return self.entry(entry.custom_id, tokens, reason or entry.finish_reason, entry.prompt_tokens)

    def selection(self, questions: Sequence[str], params: GenerationParams) -> dict[str, JsonValue]:
        """The record of a real choice."""
        prompts = [self.tokenizer.encode_chat([{"role": "user", "content": text}]) for text in questions]
        prompts = [ids for ids in prompts if len(ids) < self.tokenizer.model_max_len]
        workload = Workload.from_token_ids(prompts, [params.max_tokens] * len(prompts))
        facts = ModelFacts.from_dir(MODEL_DIR)
        return Selector.load().select(facts, hardware(), workload, SelectionState()).record.to_json()

    def post(self, served: bytes, entries: Entries, selection: dict[str, JsonValue]) -> None:
        """Output and receipt into the store, the receipt's leaf on chain."""
        document = self.document(served, entries, selection, OPERATOR.address)
        self.store_result(served, entries, document)
        self.operator.send_and_wait(self.market.post_batch([document.receipt()]))

    def document(
        self, served: bytes, entries: Entries, selection: dict[str, JsonValue], worker: str
    ) -> ReceiptDocument:
        engine: dict[str, JsonValue] = {"engine": "transformers", "dtype": "float32"}
        return receipt_of(OutputFile(entries), self.market.domain, served, worker, engine, selection)

    def store_result(self, served: bytes, entries: Entries, document: ReceiptDocument) -> None:
        self.store.put(output_key(served), write_output(entries))
        self.store.put(receipt_key(served), document.encoded())

    def now(self) -> int:
        return self.rpc.latest().timestamp


_HARDWARE: list[HardwareFacts] = []


def hardware() -> HardwareFacts:
    """Measured once: it takes a moment."""
    if not _HARDWARE:
        _HARDWARE.append(HardwareFacts.detect("cpu"))
    return _HARDWARE[0]


def first_changed(tokens: Sequence[int], place: int, to: int) -> tuple[int, ...]:
    """`tokens` with the one at `place` replaced."""
    return (*tokens[:place], to, *tokens[place + 1 :])


def with_first(entries: Entries, changed: OutputEntry) -> Entries:
    return (changed, *entries[1:])


def with_text(entry: OutputEntry, text: str) -> OutputEntry:
    return replace(entry, text=text)
