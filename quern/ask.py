"""`quern quote` and `quern submit`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from errno import EEXIST
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, follow, options
from quern.console import note, require_yes, say, say_json
from quern.context import home

if TYPE_CHECKING:
    from chain.store import ContentStore
    from protocol.currency import Currency
    from protocol.digest import JsonValue
    from protocol.replay import MarketView
    from wallet.desk import Desk
    from wallet.hand import Hand
    from wallet.inputs import Question
    from wallet.keystore import Wallet
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
ReplicasOption = Annotated[
    int,
    typer.Option(
        "--replicas", help="Workers that answer, each on its own: 1, 3, 5, 7. More than half must agree."
    ),
]
MaxFeeOption = Annotated[
    str | None,
    typer.Option("--max-fee", help="The most one worker's work may cost, without tip."),
]


def quote(
    output_tokens: Annotated[
        int, typer.Option("--output-tokens", min=1, help="Output tokens of all prompts together, at most.")
    ] = 256,
    model: ModelOption = None,
    replicas: ReplicasOption = 1,
    max_fee: MaxFeeOption = None,
    tip: TipOption = "0",
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    as_json: options.Json = False,
) -> None:
    """Say what an answer would cost and how long it would take."""
    from wallet.desk import clock
    from wallet.models import ModelList, choose
    from wallet.quote import Want
    from wallet.quote import quote as make_quote
    from wallet.submit import SEATS, BadReplicas

    if replicas not in SEATS:
        raise BadReplicas(replicas)
    desk = connect.desk(deployment, rpc)
    want_tip = desk.currency.parse("tip", tip)
    want_fee = None if max_fee is None else desk.currency.parse("max fee", max_fee)
    snapshot = desk.read()
    model_id = choose(model, snapshot.models, ModelList(home().models).all())
    want = Want(model_id, output_tokens, want_tip, replicas, want_fee)
    quoted = make_quote(snapshot.market, clock(snapshot.head), want, desk.terms())
    if as_json:
        say_json(_quote_json(quoted, desk.currency))
        return
    for line in _quote_lines(quoted, desk.currency):
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
    replicas: ReplicasOption = 1,
    class_file: Annotated[
        Path | None,
        typer.Option("--class", help="With replicas: file of the engines whose answers count as equal."),
    ] = None,
    max_fee: MaxFeeOption = None,
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
    sign_to: Annotated[
        Path | None,
        typer.Option("--sign-to", help="Sign into this new file and send nothing; see 'quern relay'."),
    ] = None,
    wallet: options.Wallet = None,
    password_file: options.PasswordFile = None,
    relayer: options.Relayer = None,
    relayer_password_file: options.RelayerPasswordFile = None,
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

    purse = _Purse(wallet, password_file, relayer, relayer_password_file)
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
        terms = _Terms(
            model=model,
            replicas=replicas,
            class_file=class_file,
            max_fee=max_fee,
            flat_percent=flat_percent,
            tip=tip,
            lease_secs=lease_secs,
            life_secs=life_secs,
            bond_units=bond_units,
        )
        sent = _ask(desk, question, terms, purse, store, sign_to, yes=yes)
    else:
        desk = connect.desk(deployment, rpc)
        sent = _send_again(desk, resume, purse)
    if not wait or sign_to is not None:
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


@dataclass(frozen=True, slots=True)
class _Purse:
    """Options that say who signs and who pays the gas."""

    wallet: str | None
    password_file: Path | None
    relayer: str | None
    relayer_password_file: Path | None

    def sender(self) -> "Wallet | None":
        return connect.relayer(self.relayer)

    def hand(self, signer: "Wallet") -> "Hand":
        return connect.hand(signer, self.password_file, self.sender(), self.relayer_password_file)


@dataclass(frozen=True, slots=True)
class _Terms:
    """Options that say what is put up, as typed."""

    model: str | None
    replicas: int
    class_file: Path | None
    max_fee: str | None
    flat_percent: int | None
    tip: str
    lease_secs: int | None
    life_secs: int | None
    bond_units: int

    def wishes(
        self, currency: "Currency", model_id: bytes, market: "MarketView", content: "ContentStore"
    ) -> "Wishes":
        from wallet.classes import read_class
        from wallet.submit import Wishes

        equivalence = None if self.class_file is None else read_class(self.class_file)
        said = Wishes(
            fee_units=None if self.max_fee is None else currency.parse("max fee", self.max_fee),
            flat_percent=self.flat_percent,
            tip_units=currency.parse("tip", self.tip),
            lease_secs=self.lease_secs,
            life_secs=self.life_secs,
            bond_units=self.bond_units,
            replicas=self.replicas,
            equivalence=equivalence,
        )
        if said.replicas == 1 or equivalence is not None:
            return said
        return replace(said, equivalence=connect.equivalence(model_id, market, content))


def _ask(
    desk: "Desk",
    question: "Question",
    terms: _Terms,
    purse: _Purse,
    store: str | None,
    sign_to: Path | None,
    *,
    yes: bool,
) -> "dict[str, JsonValue]":
    """Price, show, confirm, sign, store; send, unless it is only to be signed."""
    from protocol.digest import to_hex
    from wallet.desk import clock
    from wallet.hand import require_affordable, send
    from wallet.inputs import check_window
    from wallet.journal import Journal
    from wallet.models import ModelList, choose
    from wallet.relay import Signed
    from wallet.submit import draft, keep, price, require_acceptable

    payer, sender = connect.keystore().choose(purse.wallet), purse.sender()
    content = connect.store(store)
    snapshot = desk.read()
    now = clock(snapshot.head)
    model_id = choose(terms.model, snapshot.models, ModelList(home().models).all())
    window = connect.window(model_id)
    prompt_tokens = None if window is None else check_window(question, window)
    wishes = terms.wishes(desk.currency, model_id, snapshot.market, content)
    quoted, offer = price(snapshot.market, now, model_id, question.max_output_tokens, wishes, desk.terms())
    ready = draft(desk.domain, payer.address, model_id, question, offer, now)
    require_acceptable(desk, ready)
    if sign_to is None:
        require_affordable(desk, payer.address, offer.max_price_units, sender.address if sender else None)
    elif sign_to.exists():
        raise FileExistsError(EEXIST, "it exists; name a new file", str(sign_to))
    _show_offer(ready, quoted, offer, prompt_tokens, content.url, desk.currency)
    if sender is not None:
        note(f"Gas      {sender.address} pays it and sends; the wallet only signs")
    # A password that does not open the key is known before anybody agrees to anything.
    hand = purse.hand(payer)
    require_yes("Sign and send?" if sign_to is None else "Sign?", yes)
    journal = Journal(home().journal)
    if sign_to is not None:
        keep(ready, payer.name, content, journal)
        Signed(desk.domain, ready.request, hand.sign(ready.task_id)).write(sign_to)
        note(f"Wrote    {sign_to}: whoever has it can send it until its deadline, or 'quern revoke' it first")
        return {"task": to_hex(ready.task_id), "max_price_units": offer.max_price_units, "file": str(sign_to)}
    receipts = send(desk, ready, offer.max_price_units, hand, payer.name, content, journal)
    return {
        "task": to_hex(ready.task_id),
        "max_price_units": offer.max_price_units,
        "prompts": len(question.prompts),
        "replicas": offer.replicas,
        "class": None if offer.equivalence is None else to_hex(offer.equivalence.digest()),
        "sender": hand.sender.address,
        "transaction": to_hex(receipts[-1].tx_hash),
        "block": receipts[-1].block_number,
        "gas_used": sum(receipt.gas_used for receipt in receipts),
    }


def _send_again(desk: "Desk", text: str, purse: _Purse) -> "dict[str, JsonValue]":
    """A journalled request, unless the chain has it already."""
    from protocol.digest import to_hex
    from protocol.lifecycle import TaskState
    from protocol.money import escrow_units
    from wallet.hand import require_affordable, submit_calls
    from wallet.journal import Journal, parse_task_id

    journal = Journal(home().journal)
    known = tuple(entry.task_id for entry in journal.entries(desk.domain))
    entry = journal.get(parse_task_id(text, known))
    if desk.market.task(entry.task_id).state is not TaskState.NONE:
        note("The chain has this task already; nothing was sent.")
        return {"task": to_hex(entry.task_id), "transaction": None}
    request = entry.request
    price_units = escrow_units(request.max_fee_units, request.replicas, request.tip_units)
    sender = purse.sender()
    require_affordable(desk, request.requester, price_units, sender.address if sender else None)
    hand = purse.hand(connect.keystore().get(entry.wallet))
    receipts = [desk.send(call, hand.sender) for call in submit_calls(desk, request, price_units, hand)]
    return {"task": to_hex(entry.task_id), "transaction": to_hex(receipts[-1].tx_hash)}


def _show_offer(
    ready: "Draft",
    quoted: "Quote",
    offer: "Offer",
    prompt_tokens: int | None,
    store_url: str,
    currency: "Currency",
) -> None:
    from protocol.digest import to_hex
    from protocol.money import quorum
    from wallet.classes import class_words

    prompts = len(ready.question.prompts)
    counted = "prompt tokens not counted: the model is not on this machine"
    note(f"Model    {to_hex(ready.request.model_id)}")
    note(
        f"Asked    {prompts} prompt{'s' if prompts > 1 else ''}, "
        f"{counted if prompt_tokens is None else f'{prompt_tokens} prompt tokens'}, "
        f"at most {ready.question.max_output_tokens} output tokens"
    )
    if offer.equivalence is not None:
        note(
            f"Replicas {offer.replicas}, of which {quorum(offer.replicas)} must agree; each is paid its own fee"
        )
        note(f"Class    {class_words(offer.equivalence)}")
    fee = f"{offer.replicas} x " if offer.replicas > 1 else ""
    note(
        f"Price    at most {currency.show(offer.max_price_units)}: fee {fee}{currency.show(offer.fee_units)}, "
        f"{offer.flat_percent} % of it flat, tip {currency.show(offer.tip_units)}; what is not used returns"
    )
    note(f"Wait     {_wait_words(quoted)}; refundable from {offer.life_secs} s on if nobody answers")
    note(f"Privacy  prompts and answers can be read by whoever can read the store {store_url}")


def _quote_lines(quoted: "Quote", currency: "Currency") -> list[str]:
    basis = (
        f"median of {quoted.recent_tasks} settled tasks"
        if quoted.recent_tasks
        else "nothing was settled yet: a worker's gas and a default rate"
    )
    speed = "" if quoted.tokens_per_s is None else f" at {quoted.tokens_per_s:.1f} tokens/s"
    each = (
        "" if quoted.replicas == 1 else f", {quoted.replicas} replicas of {currency.show(quoted.fee_units)}"
    )
    return [
        f"Price  at most {currency.show(quoted.max_price_units)}{each}, {quoted.flat_percent} % flat ({basis})",
        f"Wait   {_wait_words(quoted)}{speed}",
        (
            f"Queue  {quoted.tasks_ahead} tasks ahead, {quoted.tokens_ahead:,} output tokens at most; "
            f"a tip of {currency.show(quoted.front_tip_units)} goes first"
        ),
    ]


def _wait_words(quoted: "Quote") -> str:
    if quoted.wait_secs is None:
        return "unknown, nothing was served yet"
    return f"about {quoted.wait_secs:.0f} s"


def _quote_json(quoted: "Quote", currency: "Currency") -> "dict[str, JsonValue]":
    return {**asdict(quoted), "max_price_units": quoted.max_price_units, "currency": currency.symbol}
