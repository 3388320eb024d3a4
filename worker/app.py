"""The worker as a whole: put together from its configuration, run until drained."""

import logging
import sqlite3
import threading
import time
from datetime import UTC, datetime
from functools import partial

from apscheduler.schedulers.background import BackgroundScheduler
from eth_account.signers.local import LocalAccount

from chain import deployment as deployments
from chain.deployment import Deployment
from chain.follower import Follower
from chain.heads import HeadWatch, websocket_of
from chain.market import Market
from chain.rpc import NodeAway, Rpc, RpcUnavailable
from chain.sender import Sender, SenderPolicy
from chain.store import ContentStore
from metainf import Selector
from protocol.digest import to_hex
from protocol.errors import QuernError
from protocol.receipt import replica_salt
from worker import garbage, keystore
from worker.artefacts import Call
from worker.calls import Calls
from worker.champion import Champion
from worker.classes import Classes
from worker.config import WorkerConfig
from worker.database import Database, identity_of
from worker.dispatch import Dispatcher
from worker.drain import Drain
from worker.engines import EngineHost
from worker.errors import StateUnwritable
from worker.evidence import Evidence
from worker.fetching import Fetcher
from worker.follow import Poller
from worker.inputs import InputReader
from worker.journal import DatabaseJournal
from worker.learning import REFRESH_SECS, Learning
from worker.live import Snapshot
from worker.lock import KeyLock
from worker.logs import logging_to
from worker.machine import Machine
from worker.models import serve
from worker.outbox import Outbox
from worker.policy import Policy
from worker.policy_now import policy_now
from worker.reconciler import Parts, Reconciler
from worker.retraining import Retraining
from worker.selection import Chooser
from worker.steady import steady_secs
from worker.storing import Storer
from worker.upkeep import Upkeep
from worker.view import View
from worker.web import Web
from worker.words import no_deposit, shown_moment

LOG = logging.getLogger("quern.worker")
_HOUSEKEEPING_SECS = 60.0
_REQUEST_SECS = 0.5
_LIVE_SECS = 1.0
_ACCOUNT_SECS = 5.0
_NODE_PATIENCE_SECS, _NODE_AGAIN_SECS = 30.0, 0.5
_STEP_SECS = 0.5
_SENDING_STEP_SECS = 0.05
_GATHER_SECS, _LONGEST_GATHER_SECS = 0.005, 0.05


class Worker:
    """One key, one chain, one process. Construction checks everything that can be refused before work starts.

    Raises the errors of the rooms it is put together from: BadInput ones for what the operator must change (WrongChain,
    ChainReset, AnotherChain, KeyInUse, WrongPassword, NotAModel, ...), Unavailable ones for a node that is away.
    """

    def __init__(self, config: WorkerConfig, password: str) -> None:
        self._config = config
        deployment = deployments.load(config.chain.deployment)
        rpc = Rpc(config.chain.rpc_url or deployment.rpc_url, config.chain.timeout_secs)
        _check(deployment, rpc)
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
        self._drain = Drain(config.operations.drain_secs)
        self._started: Reconciler | None = None
        self._salt_of = partial(replica_salt, bytes(account.key))
        self._database = Database(config.database)
        self._database.bind(identity_of(deployment, self._address))
        self._models = serve([model.path for model in config.models])
        self._market = Market(rpc, deployment)
        self._store = ContentStore(config.store.url)
        machine = Machine(config)
        machine.check_sharing(self._models.values())
        found = machine.strategies()
        permitted = [
            each for each in found if not config.engine.strategies or each.name in config.engine.strategies
        ]
        classes = Classes(self._store, self._database, permitted, machine.foreseen_facts)
        self._reader = InputReader(
            self._store,
            config.store.input_schemes,
            config.store.max_input_bytes,
            config.store.max_prompts,
            self._models,
            classes,
        )
        self._view = View(self._address, deployment.parameters.age_rate_wei, deployment.currency.unit)
        declined = self._database.declined()
        self._view.load(self._database.live_tasks(), declined)
        policy = SenderPolicy(confirmations=config.chain.confirmations)
        sender = Sender(rpc, account, DatabaseJournal(self._database), policy, steady_secs)
        self._outbox = Outbox(sender, self._database, self._lock)
        self._dispatcher = Dispatcher(self._outbox, self._woken.set)
        follower = Follower(rpc, deployment, config.chain.confirmations)
        self._poller = Poller(follower, self._market, self._view, self._database, self._lock, self._woken.set)
        self._upkeep = Upkeep(
            market=self._market,
            outbox=self._outbox,
            view=self._view,
            database=self._database,
            lock=self._lock,
            clock=self._poller.clock,
            store_url=self._store.url,
            keep_days=config.store.keep_days,
        )
        self._heads = HeadWatch(websocket_of(rpc.url), self._poller.poll) if config.chain.heads else None
        self._chooser = Chooser(
            Selector(Champion(config).load()),
            machine.hardware_facts(self._database, self._models.values()),
            found,
            config.engine.strategies,
            self._models,
            round(config.engine.explore_percent * 10_000),
        )
        self._learning = Learning(self._database, self._store, self._chooser, self._lock, self._address)
        self._retraining = Retraining(config, self._store, self._chooser, self._address)
        self._rates = self._chooser.rates(next(iter(self._models.values())))
        self._host = EngineHost(
            config.engine, self._chooser, classes, self._database, config.state_dir, self._woken.set
        )
        self._snapshot = Snapshot(self._database, self._address)
        self._web = Web(config.operations.host, config.operations.port, self._snapshot)

    def run(self, shown: logging.Handler | None = None) -> int:
        """Work until drained or stopped; 0 either way, because nothing is lost: the next start takes it up.

        Beside its file the log goes to `shown`, or else to standard error.
        """
        scheduler = BackgroundScheduler(
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None}, timezone="UTC"
        )
        log = self._config.state_dir / "worker.log"
        with self._drain.on_signals(), logging_to(log, self._config.operations.log_level, shown):
            try:
                self._work(scheduler)
            except sqlite3.OperationalError as error:
                # What memory holds may be ahead of the database now: only a new start is sure of both.
                raise StateUnwritable(str(self._config.state_dir), str(error)) from error
        return 0

    def _work(self, scheduler: BackgroundScheduler) -> None:
        try:
            if self._start():
                self._schedule(scheduler)
                self._loop()
        finally:
            self._end(scheduler)

    def stop(self, *, now: bool = False) -> None:
        """Take no more work and end once what is claimed is posted and settled; `now` ends at once."""
        self._drain.ask(now=now)
        self._woken.set()

    def _start(self) -> bool:
        """Whether there is anything to go on with: not if the worker was stopped while it read the chain."""
        LOG.info("worker %s on market %s", self._address, self._market.deployment.market)
        self._poller.catch_up(lambda: self._drain.draining)
        if self._drain.draining:
            LOG.info("stopped before the chain was read to its end; the next start reads on")
            return False
        self._poller.refresh_account()
        if not self._view.free_units and not self._view.locked_units:
            LOG.warning("%s", no_deposit(self._address))
        config = self._config
        batch_sizes = {
            Call.CLAIM: config.batches.tasks,
            Call.POST: config.batches.post_tasks,
            Call.SETTLE: config.batches.settle_tasks,
        }
        self._started = Reconciler(
            Parts(
                database=self._database,
                view=self._view,
                calls=Calls(
                    self._market,
                    self._outbox,
                    self._view,
                    Evidence(self._database, self._store),
                    self._salt_of,
                    batch_sizes,
                ),
                outbox=self._outbox,
                dispatcher=self._dispatcher,
                fetcher=Fetcher(self._reader, self._chooser, self._models, self._woken.set),
                storer=Storer(self._store, self._woken.set),
                host=self._host,
                models=self._models,
                domain=self._market.domain,
                policy=self._policy,
                clock=self._poller.clock,
                batch_sizes=batch_sizes,
            ),
            self._lock,
        )
        self._poller.tell(self._reconciler)
        self._host.start()
        self._web.start()
        self._dispatcher.start()
        self._upkeep.announce()
        garbage.keep_what_is_loaded()
        self._write_live()
        return True

    def _schedule(self, scheduler: BackgroundScheduler) -> None:
        scheduler.add_job(self._poller.poll, "interval", seconds=self._config.chain.poll_ms / 1000, id="poll")
        scheduler.add_job(self._poller.refresh_account, "interval", seconds=_ACCOUNT_SECS, id="account")
        scheduler.add_job(self._woken.set, "interval", seconds=_STEP_SECS, id="reconcile")
        scheduler.add_job(self._upkeep.answer, "interval", seconds=_REQUEST_SECS, id="requests")
        scheduler.add_job(self._write_live, "interval", seconds=_LIVE_SECS, id="live")
        scheduler.add_job(self._learning.refresh, "interval", seconds=REFRESH_SECS, id="learning")
        now = datetime.now(UTC)
        hours = self._config.learning.retrain_hours
        if hours:
            # Not once only: a job that is through is taken out, and where the worker is stopped at that moment, the
            # scheduler's thread ends in a traceback.
            scheduler.add_job(
                self._retraining.publish, "interval", hours=hours, id="publish", next_run_time=now
            )
            begin = self._retraining.first(now)
            scheduler.add_job(
                self._retraining.run, "interval", hours=hours, id="retrain", next_run_time=begin
            )
        scheduler.add_job(
            self._upkeep.clean_up, "interval", seconds=_HOUSEKEEPING_SECS, id="clean-up", next_run_time=now
        )
        # It warns of every run that is put off while the last one goes on; that is as it should be here.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        scheduler.start()
        if self._heads is not None:
            self._heads.start()

    def _loop(self) -> None:
        step_secs = 0.0
        while not self._drain.stopping:
            self._woken.wait(_SENDING_STEP_SECS if self._outbox.open else _STEP_SECS)
            self._woken.clear()
            # Nothing signed for one chain may reach another, and nothing is decided on half of what happened.
            for failure in (self._poller.failure, self._dispatcher.failure, self._host.failure):
                if failure is not None:
                    raise failure
            # What comes within these milliseconds goes into the same transactions. After a round that took long the
            # other threads have as long for themselves: there is much to do, and more gathers for the next.
            time.sleep(min(_LONGEST_GATHER_SECS, max(_GATHER_SECS, step_secs)))
            began = time.monotonic()
            try:
                self._reconciler.step()
            except QuernError as error:
                # Whatever it is, most tasks have nothing to do with it.
                LOG.warning("%s", error)
                time.sleep(_STEP_SECS)
            step_secs = time.monotonic() - began
            if self._drain.draining and self._drained():
                LOG.info("drained")
                return

    def _drained(self) -> bool:
        left_secs = self._drain.left_secs
        if left_secs < 0:
            LOG.warning("drained for %g s; the rest is owed and waits", self._config.operations.drain_secs)
            return True
        if not self._reconciler.idle:
            return False
        ends = [end for _, end in self._view.owed()]
        # A window that ends too late is settled by whoever comes next: the payee is read from storage.
        return not any(end - self._poller.clock().chain_secs < left_secs for end in ends)

    def _warn_of_what_is_owed(self) -> None:
        """A worker that is away answers no demand and reveals nothing, and loses the bonds."""
        owed = list(self._view.owed())
        if owed:
            last = shown_moment(max(end for _, end in owed), exact=False)
            LOG.warning("%d results can be called for until %s: start again before", len(owed), last)

    def _end(self, scheduler: BackgroundScheduler) -> None:
        self._warn_of_what_is_owed()
        self._retraining.stop()
        if scheduler.running:
            scheduler.shutdown(wait=True)
        if self._heads is not None:
            self._heads.stop()
        self._poller.stop()
        self._dispatcher.stop()
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
        return policy_now(
            self._config,
            self._market.deployment,
            self._models,
            self._view,
            self._host,
            self._rates,
            draining=self._drain.draining,
        )

    def _write_live(self, *, final: bool = False) -> None:
        self._snapshot.write(
            view=self._view,
            artefacts=self._started.artefacts if self._started is not None else {},
            engine=self._host.status(),
            meta_model=self._chooser.meta_model_digest,
            head=self._poller.head,
            silent_secs=self._poller.silent_secs,
            reorgs=self._poller.reorgs,
            transactions=len(self._outbox.open),
            draining=self._drain.draining,
            running=not final,
            lock=self._lock,
        )


def _check(deployment: Deployment, rpc: Rpc) -> None:
    """A node that is there and does not answer well is given time, as it would be later. Raises as `deployments.check`,
    and NodeAway at once: a wrong address is for the operator to mend.
    """
    give_up = time.monotonic() + _NODE_PATIENCE_SECS
    while True:
        try:
            deployments.check(deployment, rpc)
        except RpcUnavailable as error:
            if isinstance(error, NodeAway) or time.monotonic() > give_up:
                raise
            LOG.info("%s", error)
            time.sleep(_NODE_AGAIN_SECS)
        else:
            return
