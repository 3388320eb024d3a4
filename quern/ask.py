"""`quern quote` and `quern submit`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, follow, options
from quern.console import note, require_yes, say, say_json
from quern.context import home

if TYPE_CHECKING:
    from protocol.digest import JsonValue
    from wallet.desk import Desk
    from wallet.inputs import Question
    from wallet.quote import Quote
    from wallet.submit import Draft, Offer, Wishes

ModelOption = Annotated[
    str | None,
    typer.Option("--model", "-m", help="Name or id of the model; the only one by default."),
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option("--max-tokens", help="Output tokens at most, where a prompt names none."),
]
TipOption = Annotated[str, typer.Option("--tip", help="Paid on top, ranks the task: 5000gwei or 0.001ether.")]


def quote(
    output_tokens: Annotated[
        int, typer.Option("--output-tokens", min=1, help="Output tokens of all prompts together, at most.")
    ] = 256,
    model: ModelOption = None,
    tip: TipOption = "0",
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """Say what an answer would cost and how long it would take."""
    from wallet.amounts import parse_units
    from wallet.desk import clock
    from wallet.models import ModelList, choose
    from wallet.quote import Want
    from wallet.quote import quote as make_quote

    want_tip = parse_units("tip", tip)
    desk = connect.desk(deployment, rpc)
    snapshot = desk.read()
    model_id = choose(model, snapshot.models, ModelList(home().models).all())
    want = Want(model_id, output_tokens, want_tip)
    quoted = make_quote(snapshot.market, clock(snapshot.head), want, desk.terms())
    if as_json:
        say_json(_quote_json(quoted))
        return
    for line in _quote_lines(quoted):
        say(line)


def submit(
    prompt: Annotated[str | None, typer.Argument(help="The prompt; or give --file or --batch.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Text file that is one prompt.")] = None,
    batch: Annotated[
        Path | None, typer.Option("--batch", "-b", help="OpenAI Batch input file (JSON Lines).")
    ] = None,
    model: ModelOption = None,
    system: Annotated[str | None, typer.Option("--system", help="System message before the prompt.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Go on from the text, with no chat template.")
    ] = False,
    max_tokens: MaxTokensOption = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy, the default.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus sampling.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from so many tokens; 0 is all.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of sampling.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Stop at this text; may be repeated.")] = None,
    max_fee: Annotated[
        str | None,
        typer.Option("--max-fee", help="The most the work may cost, without tip."),
    ] = None,
    flat_percent: Annotated[
        int | None, typer.Option(min=0, max=100, help="Share of the fee paid whatever the answer's length.")
    ] = None,
    tip: TipOption = "0",
    lease_secs: Annotated[int | None, typer.Option(help="How long a worker may hold the task.")] = None,
    life_secs: Annotated[int | None, typer.Option(help="Seconds until nobody may answer any more.")] = None,
    bond_units: Annotated[int, typer.Option(min=1, help="Bond of the worker, in units of the market's.")] = 1,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the task and print the answer.")] = False,
    resume: Annotated[
        str | None,
        typer.Option("--resume", help="Send a request made here again, if the chain lacks it."),
    ] = None,
    timeout_secs: Annotated[
        float | None, typer.Option(help="With --wait: stop waiting after so long.")
    ] = None,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    yes: options.Yes = False,
    as_json: options.Json = False,
) -> None:
    """Send prompts to the market and pay for the answers.

    Prompts and answers can be read by whoever can read the content store.
    """
    from protocol.digest import from_hex
    from wallet.amounts import parse_units
    from wallet.submit import Wishes

    wishes = Wishes(
        fee_units=None if max_fee is None else parse_units("max fee", max_fee),
        flat_percent=flat_percent,
        tip_units=parse_units("tip", tip),
        lease_secs=lease_secs,
        life_secs=life_secs,
        bond_units=bond_units,
    )
    sampling = {
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "seed": seed,
        "stop": stop or None,
    }
    if resume is None:
        question = _question(prompt, file, batch, system, sampling, is_chat=not plain)
        desk = connect.desk(deployment, rpc)
        sent = _ask(desk, question, model, wishes, wallet, password_file, store, yes=yes)
    else:
        desk = connect.desk(deployment, rpc)
        sent = _send_again(desk, resume, password_file)
    if not wait:
        if as_json:
            say_json(sent)
        else:
            say(f"Task {sent['task']}")
        return
    note(f"Task {sent['task']}")
    task_id = from_hex("task", sent["task"])
    follow.wait_and_show(desk, task_id, store, timeout_secs, sent if as_json else None)


def _question(
    prompt: str | None,
    file: Path | None,
    batch: Path | None,
    system: str | None,
    sampling: "Mapping[str, JsonValue]",
    *,
    is_chat: bool,
) -> "Question":
    """Exactly one of prompt, file and batch."""
    from wallet.inputs import NoPrompt, from_batch, from_text, params_of, read_text

    given = [text for text in (prompt, file, batch) if text is not None]
    if len(given) != 1:
        raise NoPrompt(f"{len(given)} of them")
    wanted = {name: value for name, value in sampling.items() if value is not None}
    if batch is not None:
        return from_batch(batch, wanted)
    text = prompt if file is None else read_text(file)
    return from_text(text or "", params_of(wanted), system=system, is_chat=is_chat)


def _ask(
    desk: "Desk",
    question: "Question",
    model: str | None,
    wishes: "Wishes",
    wallet: str | None,
    password_file: Path | None,
    store: str | None,
    *,
    yes: bool,
) -> "dict[str, JsonValue]":
    """Price, show, confirm, sign, send."""
    from protocol.digest import to_hex
    from wallet.desk import clock
    from wallet.inputs import check_window
    from wallet.journal import Journal
    from wallet.models import ModelList, choose
    from wallet.passwords import password_for
    from wallet.submit import draft, price, send, value_to_attach

    payer = connect.keystore().choose(wallet)
    content = connect.store(store)
    snapshot = desk.read()
    now = clock(snapshot.head)
    model_id = choose(model, snapshot.models, ModelList(home().models).all())
    window = connect.window(model_id)
    prompt_tokens = None if window is None else check_window(question, window)
    terms = desk.terms()
    quoted, offer = price(snapshot.market, now, model_id, question.max_output_tokens, wishes, terms)
    free_units = desk.market.account(payer.address).free_units
    balance_wei = desk.rpc.balance_wei(payer.address)
    value_units = value_to_attach(
        payer.address, offer.max_price_units, free_units, balance_wei, terms.gas_price_wei
    )
    ready = draft(desk.domain, payer.address, model_id, question, offer, now)
    _show_offer(ready, quoted, offer, prompt_tokens, content.url)
    require_yes("Sign and send?", yes)
    account = connect.keystore().unlock(payer.name, password_for(payer.name, password_file))
    receipt = send(ready, value_units, payer.name, desk, account, content, Journal(home().journal))
    return {
        "task": to_hex(ready.task_id),
        "max_price_units": offer.max_price_units,
        "prompts": len(question.prompts),
        "transaction": to_hex(receipt.tx_hash),
        "block": receipt.block_number,
        "gas_used": receipt.gas_used,
    }


def _send_again(desk: "Desk", text: str, password_file: Path | None) -> "dict[str, JsonValue]":
    """A journalled request, unless the chain has it already."""
    from protocol.digest import to_hex
    from wallet.journal import Journal, parse_task_id
    from wallet.passwords import password_for
    from wallet.submit import resend

    journal = Journal(home().journal)
    known = tuple(entry.task_id for entry in journal.entries(desk.domain))
    entry = journal.get(parse_task_id(text, known))
    account = connect.keystore().unlock(entry.wallet, password_for(entry.wallet, password_file))
    receipt = resend(entry, desk, account)
    if receipt is None:
        note("The chain has this task already; nothing was sent.")
    transaction = None if receipt is None else to_hex(receipt.tx_hash)
    return {"task": to_hex(entry.task_id), "transaction": transaction}


def _show_offer(
    ready: "Draft", quoted: "Quote", offer: "Offer", prompt_tokens: int | None, store_url: str
) -> None:
    from protocol.digest import to_hex
    from wallet.amounts import show_units

    prompts = len(ready.question.prompts)
    counted = "prompt tokens not counted: the model is not on this machine"
    note(f"Model    {to_hex(ready.request.model_id)}")
    note(
        f"Asked    {prompts} prompt{'s' if prompts > 1 else ''}, "
        f"{counted if prompt_tokens is None else f'{prompt_tokens} prompt tokens'}, "
        f"at most {ready.question.max_output_tokens} output tokens"
    )
    note(
        f"Price    at most {show_units(offer.max_price_units)}: fee {offer.fee_units:,} gwei "
        f"({offer.flat_percent} % of it flat), tip {offer.tip_units:,} gwei; what is not used returns"
    )
    note(f"Wait     {_wait_words(quoted)}; refundable from {offer.life_secs} s on if nobody answers")
    note(f"Privacy  prompts and answers can be read by whoever can read the store {store_url}")


def _quote_lines(quoted: "Quote") -> list[str]:
    from wallet.amounts import show_units

    basis = (
        f"median of {quoted.recent_tasks} settled tasks"
        if quoted.recent_tasks
        else "nothing was settled yet: a worker's gas and a default rate"
    )
    speed = "" if quoted.tokens_per_s is None else f" at {quoted.tokens_per_s:.1f} tokens/s"
    return [
        f"Price  at most {show_units(quoted.max_price_units)}, {quoted.flat_percent} % flat ({basis})",
        f"Wait   {_wait_words(quoted)}{speed}",
        (
            f"Queue  {quoted.tasks_ahead} tasks ahead, {quoted.tokens_ahead:,} output tokens at most; "
            f"a tip of {show_units(quoted.front_tip_units)} goes first"
        ),
    ]


def _wait_words(quoted: "Quote") -> str:
    if quoted.wait_secs is None:
        return "unknown, nothing was served yet"
    return f"about {quoted.wait_secs:.0f} s"


def _quote_json(quoted: "Quote") -> "dict[str, JsonValue]":
    from dataclasses import asdict

    return {**asdict(quoted), "max_price_units": quoted.max_price_units}
