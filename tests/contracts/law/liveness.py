"""I6: wherever a run ends, a stranger alone brings every task to an end, and owners get every UNIT out."""

from tests.contracts.law.book import ENDED, State, Task
from tests.contracts.law.world import World


def drive_to_the_end(world: World) -> None:
    """Only time and calls that are open to anyone; then withdrawals. Fails where the law's bound on time is passed."""
    _behave(world)
    law, begun = world.law, world.machine.now
    # A task ends at its deadline at the latest, a round some answer time later; then window, demands and a dispute.
    bound = law.max_life + 3 * law.answer_time + law.window + law.arbiter_timeout + 10
    for task_id, task in world.book.tasks.items():
        while task.state not in ENDED:
            _next_move(world, task_id, task)
            assert world.machine.now - begun <= bound, f"I6: {task} has not ended"
        for leaf in list(task.demands):
            _close_demand(world, task_id, leaf)
    world.check_everything()
    _withdraw_everything(world)


def _behave(world: World) -> None:
    """From now on the token is honest and wallets take ether: what they hold back themselves is not the market's."""
    if world.token is not None:
        world.tell(world.token, world.token_abi.data("become", 0))
    for wallet in sorted(world.coded):
        world.tell(wallet, world.wallet_abi.data("become", 0))


def _next_move(world: World, task_id: bytes, task: Task) -> None:
    """Waits until the state allows a move of a stranger's, and makes it."""
    book, stranger = world.book, world.stranger
    if task.state in (State.POSTED, State.DISPUTED) and task.demands:
        leaf, (_, until) = next(iter(task.demands.items()))
        _wait_past(world, until)
        world.do("lapseDemand", stranger, (task_id, leaf), lambda: book.lapse_demand(task_id, leaf))
    elif task.state == State.POSTED:
        _wait_past(world, task.until)
        world.do("settleMany", stranger, ([task_id],), lambda: book.settle_many([task_id]))
    elif task.state == State.DISPUTED:
        _wait_past(world, task.until)
        world.do("timeout", stranger, (task_id,), lambda: book.timeout(task_id))
    elif task.revealing:
        if task.revealed < task.committed:
            _wait_past(world, task.until)
        world.do("closeRound", stranger, (task_id,), lambda: book.close_round(task_id))
    else:
        _wait_past(world, task.terms.deadline)
        if task.replicated and task.committed >= task.quorum:
            world.do("openReveal", stranger, (task_id,), lambda: book.open_reveal(task_id))
        else:
            world.do("expire", stranger, (task_id,), lambda: book.expire(task_id))


def _close_demand(world: World, task_id: bytes, leaf: int) -> None:
    world.do("closeDemand", world.stranger, (task_id, leaf), lambda: world.book.close_demand(task_id, leaf))


def _wait_past(world: World, limit: int) -> None:
    world.machine.travel(max(0, limit + 1 - world.machine.now))


def _withdraw_everything(world: World) -> None:
    for who in list(world.book.accounts):
        if world.book.account(who).free:
            _withdraw_all(world, who)
        assert world.book.account(who).locked == 0, f"I6: bonds of {who} are locked for ever"
    left = world.held() - world.forced
    assert left == world.book.burned * world.law.unit, "I6: only what was burned stays"


def _withdraw_all(world: World, who: str) -> None:
    free = world.book.account(who).free
    world.do("withdraw", who, (free, who), lambda: world.book.withdraw(who, free, who, ()))
