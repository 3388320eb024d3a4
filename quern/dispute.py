"""`quern demand` and `quern challenge`: holding a worker to what it posted."""

from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, options
from quern.console import moment, note, require_yes, say, say_json
from quern.follow import TaskArgument

if TYPE_CHECKING:
    from protocol.lifecycle import DemandView
    from wallet.desk import Desk


def demand(
    task: TaskArgument,
    leaf: Annotated[
        int, typer.Option("--leaf", min=0, help="Which 32 output tokens to call for, counted from 0.")
    ],
    timeout_secs: Annotated[float | None, typer.Option(help="Stop waiting after so long.")] = None,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Make the worker show 32 tokens of its output on chain, and wait for them.

    Inside the challenge window, for a fee. An answer shows the tokens and proves them against the posted result; where
    none comes in time, the task is refunded, the worker's bond is burned and the fee returns. A leaf that was demanded
    already, by anybody, is followed and not paid for again.
    """
    from protocol.lifecycle import DemandState
    from wallet.desk import clock
    from wallet.dispute import demand_calls, end_demand_call, follow_demand, require_demandable, require_fee
    from wallet.journal import parse_task_id

    desk = connect.desk(deployment, rpc)
    owner = connect.keystore().choose(wallet)
    snapshot = desk.read()
    found = snapshot.task(parse_task_id(task, tuple(snapshot.market.tasks)))
    if require_demandable(snapshot, found, leaf, clock(snapshot.head)) is None:
        fee_units = desk.deployment.parameters.demand_fee_units
        lacking_units = require_fee(desk, "fee of a demand", fee_units, owner.address)
        note(
            f"Fee      {desk.currency.show(fee_units)}: the worker's if it answers, yours again if it does not"
        )
        account = connect.unlocked(owner.name, password_file)
        require_yes("Demand?", yes)
        for call in demand_calls(desk, found.task_id, leaf, lacking_units, account):
            desk.send(call, account)
        note("Demanded; waiting for the answer")
    else:
        note("That leaf was demanded before; nothing was sent")
    shown = follow_demand(desk, found.task_id, leaf, timeout_secs)
    if shown.state is DemandState.OPEN:
        note("No answer came in time; ending it returns the fee and refunds the task")
        account = connect.unlocked(owner.name, password_file)
        desk.send(end_demand_call(desk, desk.read().task(found.task_id), leaf), account)
        shown = desk.read().market.demands[found.task_id, leaf]
    _show(desk, found.task_id, leaf, shown, store, as_json=as_json)


def challenge(
    task: TaskArgument,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Call the arbiter on a posted result, for a bond; inside the challenge window.

    Look at it by 'quern audit' first: a lost challenge costs the bond.
    """
    from protocol.digest import to_hex
    from wallet.desk import clock
    from wallet.dispute import challenge_calls, require_fee, stake
    from wallet.journal import parse_task_id

    desk = connect.desk(deployment, rpc)
    owner = connect.keystore().choose(wallet)
    snapshot = desk.read()
    found = snapshot.task(parse_task_id(task, tuple(snapshot.market.tasks)))
    put_up = stake(desk, found, clock(snapshot.head))
    show = desk.currency.show
    lacking_units = require_fee(desk, "challenge bond", put_up.bond_units, owner.address)
    note(f"Bond     {show(put_up.bond_units)}; it is lost if the arbiter finds no fault")
    note(
        f"Gain     {show(put_up.gain_units)} of the bonds at fault if it finds one, and the task is refunded"
    )
    note(f"Arbiter  {desk.deployment.arbiter}; if it stays silent, the worker is paid and the bond returns")
    account = connect.unlocked(owner.name, password_file)
    require_yes("Challenge?", yes)
    for call in challenge_calls(desk, found.task_id, lacking_units, account):
        desk.send(call, account)
    until = desk.market.task(found.task_id).until
    if as_json:
        say_json(
            {
                "task": to_hex(found.task_id),
                "bond_units": put_up.bond_units,
                "ruling_until": until,
                "arbiter": desk.deployment.arbiter,
            }
        )
    else:
        say(
            f"Challenged; the arbiter may rule until {moment(until)}. Follow it by: quern watch {task} --to-the-end"
        )


def _show(
    desk: "Desk", task: bytes, leaf: int, shown: "DemandView", store: str | None, *, as_json: bool
) -> None:
    """What became of a demand; an answer is held against the stored output, where there is one."""
    from protocol.digest import to_hex
    from protocol.errors import QuernError
    from protocol.lifecycle import DemandState
    from wallet.dispute import same_leaf

    matches: bool | None = None
    text: str | None = None
    answered = shown.state is DemandState.ANSWERED
    if answered:
        decode = connect.decoder(desk.read().task(task).request.model_id)
        text = None if decode is None else decode(shown.tokens)
        try:
            output = connect.answer(desk, task, store).output
            matches = same_leaf(output.token_ids(), leaf, shown.tokens)
        except QuernError as error:
            note(f"Not compared with the stored output: {error}")
    if as_json:
        say_json(
            {
                "task": to_hex(task),
                "leaf": leaf,
                "state": shown.state.name.lower(),
                "tokens": list(shown.tokens),
                "text": text,
                "same_as_stored": matches,
                "fee_units": shown.fee_units,
            }
        )
        return
    if not answered:
        say(
            f"Not answered ({shown.state.name.lower()}); the fee of {desk.currency.show(shown.fee_units)} is back."
        )
        return
    say(f"Leaf {leaf}: {len(shown.tokens)} tokens, proven on chain against what was posted")
    say(f"Tokens  {' '.join(map(str, shown.tokens))}")
    if text is not None:
        say(f"Text    {text}")
    if matches is not None:
        say("The stored output has the same tokens." if matches else "THE STORED OUTPUT HAS OTHER TOKENS.")
