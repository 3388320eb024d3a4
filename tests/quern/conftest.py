"""The command line on a real node: a home folder, a funded wallet, a tiny announced model, and a worker by hand."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from chain import deployment as deployments
from chain.call import Call
from chain.devnet import Devnet, dev_account
from chain.market import Market
from chain.rpc import Rpc
from chain.sender import Sender
from chain.store import ContentStore, output_key, receipt_key
from protocol.batchfile import OutputEntry, OutputFile, write_output
from protocol.evidence import make_answer
from protocol.receipt import ReceiptDocument, commitment, replica_salt
from protocol.receipt import leaf as receipt_leaf
from quern import cli as command_line
from tests.honest import receipt_of
from tests.patience import PATIENCE_SECS
from wallet.keystore import Keystore, Wallet
from wallet.models import ModelList, add, announced_uri

PASSWORD = "open sesame"
ETHER_WEI = 10**18
WINDOW_TOKENS = 32
WORDS = ("<unk>", "what", "is", "2", "+", "4", "two", "plus", "four", "answer", "\x1b[2Jclear", "</s>")
WORKER_KEY_INDEX = 5
REPLICA_KEY_INDEXES = (5, 6, 10)


@dataclass(frozen=True)
class Ran:
    """How one command line ended."""

    status: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


@dataclass
class Desk:
    """A requester's machine: `run` is `quern`, `home` its folder."""

    home: Path
    run: Callable[..., Ran]
    rpc: Rpc
    market: Market
    model_dir: Path

    @property
    def store(self) -> ContentStore:
        return ContentStore((self.home / "store").as_uri())

    def footprint(self) -> tuple[int, list[tuple[str, int]]]:
        """All that a refused command must leave as it was: blocks mined, files there."""
        files = sorted((str(path), path.stat().st_mtime_ns) for path in self.home.rglob("*"))
        return self.rpc.block_number(), files

    def later(self, secs: int) -> None:
        """Moves the chain's clock."""
        self.rpc.call("evm_increaseTime", secs)
        self.rpc.call("evm_mine")

    def submit(self, prompt: str = "what is 2 + 2", *options: str) -> str:
        ran = self.run("submit", prompt, "--yes", "--json", *options)
        assert ran.status == 0, ran.err
        return str(ran.json()["task"])


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Runs one command line in this process, with a home of its own."""
    for name in ("QUERN_HOME", "QUERN_WALLET", "QUERN_RPC", "QUERN_STORE", "QUERN_DEPLOYMENT", "QUERN_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    password_file = tmp_path / "password"
    password_file.write_text(PASSWORD + "\n")
    monkeypatch.setenv("QUERN_HOME", str(home))
    monkeypatch.setenv("QUERN_PASSWORD_FILE", str(password_file))

    def ran(*arguments: str) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            command_line.main(list(arguments))
        shown = capsys.readouterr()
        return Ran(int(left.value.code or 0), shown.out, shown.err)

    return ran


def write_tiny_model(folder: Path) -> Path:
    """A model of a dozen words: real tokenizer and template, weights that nobody loads."""
    folder.mkdir()
    tokenizer = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    template = "{% for message in messages %}{{ message['content'] }} {% endfor %}answer"
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": template, "eos_token": "</s>"})
    )
    (folder / "config.json").write_text(json.dumps({"max_position_embeddings": WINDOW_TOKENS}))
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@dataclass(frozen=True)
class Premises:
    """What all tests of a module start from, made once: on chain, and as a folder to copy."""

    home: Path
    model_dir: Path


@pytest.fixture(scope="module")
def premises(session_devnet: Devnet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Premises]:
    """Wallet `alice` with 10 ether; the tiny model registered and announced."""
    folder = tmp_path_factory.mktemp("premises")
    rpc = Rpc(session_devnet.rpc_url, PATIENCE_SECS)
    snapshot = rpc.call("evm_snapshot")
    made = Premises(folder / "home", write_tiny_model(folder / "tiny"))
    deployments.save(session_devnet.deployment, made.home / "devnet" / "deployment.json")
    alice = light_wallet(made.home, "alice")
    store = ContentStore((made.home / "store").as_uri())
    tiny = add(str(made.model_dir), None, ModelList(made.home / "models.json"), store)
    bank = Sender(rpc, dev_account(0))
    bank.send_and_wait(Call("fund", alice.address, b"", 10 * ETHER_WEI))
    market = Market(rpc, session_devnet.deployment)
    bank.send_and_wait(market.announce(tiny.model_id, announced_uri(tiny.model_id, tiny.name)))
    yield made
    assert rpc.call("evm_revert", snapshot) is True


@pytest.fixture
def desk(premises: Premises, run, devnet: Devnet, rpc: Rpc, market: Market, tmp_path: Path) -> Desk:
    """A copy of the premises that the test may spoil."""
    home = tmp_path / "home"
    shutil.copytree(premises.home, home, dirs_exist_ok=True)
    return Desk(home, run, rpc, market, premises.model_dir)


def light_wallet(home: Path, name: str) -> Wallet:
    """A wallet whose password is quick to try."""
    return Keystore(home / "wallets", scrypt_work=1 << 10).new(name, PASSWORD)


def token_ids(text: str) -> tuple[int, ...]:
    return tuple(WORDS.index(word) for word in text.split())


def answer(custom_id: str, text: str) -> OutputEntry:
    return OutputEntry(custom_id, text, token_ids(text), "stop", 5)


class HandWorker:
    """Claims, stores, posts and settles as a worker does, with answers given by the test."""

    def __init__(self, desk: Desk, key_index: int = WORKER_KEY_INDEX, deposit_units: int = 10**9) -> None:
        self._desk = desk
        self.account = dev_account(key_index)
        self._sender = Sender(desk.rpc, self.account)
        self._documents: dict[str, ReceiptDocument] = {}
        self._outputs: dict[str, OutputFile] = {}
        self._send(desk.market.deposit(self.account.address, deposit_units))

    def claim(self, task: str) -> None:
        self._send(self._desk.market.claim_many([bytes.fromhex(task[2:])]))

    def post(self, task: str, *entries: OutputEntry) -> None:
        """Stores output and receipt, then posts them alone in a batch."""
        document = self._made(task, entries)
        self._store(task)
        self._send(self._desk.market.post_batch([document.receipt()]))

    def commit(self, task: str, *entries: OutputEntry) -> None:
        """Commits to an output that nobody can see yet."""
        receipt = self._made(task, entries).receipt()
        hidden = commitment(receipt.body, receipt.output_tokens, self._salt(task))
        self._send(self._desk.market.commit(receipt.task_id, hidden))

    def reveal(self, task: str) -> None:
        document = self._documents[task]
        self._send(self._desk.market.reveal(document.body, document.output_tokens, self._salt(task)))
        self._store(task)

    def answer(self, task: str, leaf: int) -> None:
        """Shows a demanded leaf of a task that was posted alone, or revealed."""
        document, tokens = self._documents[task], self._outputs[task].token_ids()
        is_replica = self._desk.market.task(document.body.task_id).replicas > 1
        leaves = [] if is_replica else [receipt_leaf(document.receipt())]
        shown = make_answer(document.body, tokens, leaf, leaves)
        self._send(self._desk.market.answer(document.body.task_id, leaf, shown))

    def close(self, task: str) -> None:
        self._send(self._desk.market.close_round(bytes.fromhex(task[2:])))

    def _salt(self, task: str) -> bytes:
        return replica_salt(bytes(self.account.key), bytes.fromhex(task[2:]))

    def _made(self, task: str, entries: tuple[OutputEntry, ...]) -> ReceiptDocument:
        task_id, market = bytes.fromhex(task[2:]), self._desk.market
        output = OutputFile(entries)
        engine, selection = {"engine": "by hand"}, {"chosen": "none"}
        document = receipt_of(output, market.domain, task_id, self.account.address, engine, selection)
        self._documents[task], self._outputs[task] = document, output
        return document

    def _store(self, task: str) -> None:
        task_id = bytes.fromhex(task[2:])
        self._desk.store.put(output_key(task_id), write_output(self._outputs[task].entries))
        self._desk.store.put(receipt_key(task_id), self._documents[task].encoded())

    def settle(self, task: str) -> None:
        self._desk.rpc.call("evm_increaseTime", 10)
        self._desk.rpc.call("evm_mine")
        self._send(self._desk.market.settle_many([bytes.fromhex(task[2:])]))

    def announce_store(self, url: str) -> None:
        self._send(self._desk.market.announce_store(url))

    def serve(self, task: str, *entries: OutputEntry) -> None:
        self.claim(task)
        self.post(task, *entries)

    def _send(self, call: Call) -> None:
        assert self._sender.send_and_wait(call).success


@pytest.fixture
def worker(desk: Desk) -> HandWorker:
    return HandWorker(desk)


@pytest.fixture
def replicas(desk: Desk) -> tuple[HandWorker, ...]:
    """Three workers with money for bonds."""
    return tuple(HandWorker(desk, index) for index in REPLICA_KEY_INDEXES)
