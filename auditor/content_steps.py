"""Steps 4 and 5: the content is what was paid for, and the strategy was the meta-model's choice."""

from auditor.case import Case
from auditor.findings import Finding, Lacking, Refuted, counted
from metainf import ModelFacts, SelectionRecord, Selector
from metainf.errors import RecordUnreadable
from protocol.batchfile import OutputEntry, Prompt
from protocol.digest import to_hex
from protocol.errors import QuernError
from protocol.lifecycle import DemandState
from protocol.merkle import LEAF_TOKENS
from protocol.params import GenerationParams


def check_content(case: Case) -> Finding:
    """Step 4: input, parameters, manifest and output have the digests committed to, and the tokens count up."""
    tokens_charged = case.result.output_tokens
    prompts, params, output, body = case.input.prompts, case.params, case.output, case.document.body
    manifest = case.manifest
    _same(
        "prompts answered",
        [entry.custom_id for entry in output.entries],
        [prompt.custom_id for prompt in prompts],
    )
    _same("output root", to_hex(output.root()), to_hex(body.output_root))
    _same("table of lengths", list(output.table()), list(case.document.table))
    _same("output tokens", output.output_tokens(), tokens_charged)
    _same("prompt tokens", output.prompt_tokens(), body.prompt_tokens)
    for prompt, entry in zip(prompts, output.entries, strict=True):
        _check_length(prompt, params, entry)
    derived = _check_texts(case)
    shown = _check_shown_leaves(case)
    return Finding(
        f"{counted(len(prompts), 'prompt')} and {counted(output.output_tokens(), 'output token')}, "
        f"parameters and manifest match every digest; {derived}{shown}",
        {
            "prompts": len(prompts),
            "prompt_tokens": body.prompt_tokens,
            "output_tokens": output.output_tokens(),
            "manifest_files": len(manifest.files),
        },
    )


def replay_choice(case: Case, selector: Selector) -> Finding:
    """Step 5: on the recorded facts the recorded meta-model chooses the recorded strategy.

    Where that is not the auditor's, the worker trained it itself, and it is read from the store.
    """
    _ = case.result  # without one there is nothing that was chosen for
    document = case.document
    try:
        record = SelectionRecord.from_json(document.selection)
        own = record.meta_model_digest != selector.meta_model_digest
        choice = (case.selector_of(record.meta_model_digest) if own else selector).replay(record)
    except RecordUnreadable as error:
        raise Refuted(f"the record of the choice is malformed ({error})") from error
    except QuernError as error:
        raise Refuted(f"the choice cannot be repeated ({error})") from error
    if choice.record != record:
        raise Refuted(
            f"the meta-model chooses {choice.record.chosen} on these facts, the receipt says {record.chosen}"
            if choice.record.chosen != record.chosen
            else "the recorded predictions are not the meta-model's"
        )
    _check_facts(case, record)
    whose = "the worker's own meta-model" if own else "meta-model"
    return Finding(
        f"{whose} {record.meta_model_digest[:10]} chose {record.chosen} among {len(record.candidates)}: "
        f"{choice.reason}",
        {
            "strategy": record.chosen,
            "meta_model": record.meta_model_digest,
            "candidates": len(record.candidates),
        },
    )


def _check_length(prompt: Prompt, params: GenerationParams, entry: OutputEntry) -> None:
    allowed = prompt.max_tokens or params.max_tokens
    if len(entry.token_ids) > allowed:
        raise Refuted(f"prompt {prompt.custom_id!r} may have {allowed} tokens and has {len(entry.token_ids)}")


def _check_shown_leaves(case: Case) -> str:
    """What a worker showed on chain, when a leaf was demanded, is what it stored."""
    tokens = case.output.token_ids()
    shown = {
        leaf: demand.tokens
        for (task, leaf), demand in case.view.demands.items()
        if task == case.task_id and demand.state is DemandState.ANSWERED
    }
    for leaf, found in shown.items():
        start = leaf * LEAF_TOKENS
        _same(f"leaf {leaf}", tuple(tokens[start : start + LEAF_TOKENS]), found)
    return (
        f"; {counted(len(shown), 'leaf')} shown on chain is in the output"
        if len(shown) == 1
        else (f"; {len(shown)} leaves shown on chain are in the output" if shown else "")
    )


def _check_texts(case: Case) -> str:
    """The text is derived from the tokens; checking it takes the model's tokenizer."""
    try:
        tokenizer = case.tokenizer
    except Lacking as lacking:
        return f"texts not derived again: {lacking.sentence}"
    entries = [entry for entry in case.output.entries if entry.error is None]
    for entry in entries:
        if tokenizer.decode(entry.token_ids) != entry.text:
            raise Refuted(f"the text of prompt {entry.custom_id!r} is not that of its tokens")
    for ids, entry in zip(case.prompt_token_ids, case.output.entries, strict=True):
        if entry.error is not None and 0 < len(ids) < tokenizer.model_max_len:
            raise Refuted(
                f"prompt {entry.custom_id!r} was not served, though its {len(ids)} tokens fit the model's window"
            )
        if entry.error is None and entry.prompt_tokens != len(ids):
            raise Refuted(
                f"prompt {entry.custom_id!r} has {len(ids)} tokens, the output says {entry.prompt_tokens}"
            )
    return f"the text of {counted(len(entries), 'answer')} is that of the tokens"


def _check_facts(case: Case, record: SelectionRecord) -> None:
    """The recorded facts must be of this task: its model, and a workload with room for its prompts."""
    served = [entry for entry in case.output.entries if entry.error is None]
    tokens = sum(entry.prompt_tokens for entry in served)
    if record.workload.prompts < len(served) or record.workload.prompt_tokens < tokens:
        raise Refuted(
            f"the choice was made for {record.workload.prompts} prompts of {record.workload.prompt_tokens} tokens, "
            f"the task alone has {len(served)} of {tokens}"
        )
    try:
        found = ModelFacts.from_dir(case.model_dir)
    except Lacking:
        return
    _same("model facts in the choice", record.model, found)


def _same(field: str, found: object, said: object) -> None:
    if found != said:
        raise Refuted(f"{field}: the content gives {_short(found)}, committed was {_short(said)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 90 else text[:87] + "..."
