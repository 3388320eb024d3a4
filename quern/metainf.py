"""`quern metainf`: measure strategies, train the meta-model, judge it, explain a choice."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, options
from quern.console import note, say, say_json, say_table
from quern.follow import TaskArgument

if TYPE_CHECKING:
    from metainf.compatibility import Surroundings
    from metainf.planner import Progress

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Measure strategies, train and judge the meta-model.",
)

TableOption = Annotated[
    Path | None, typer.Option("--table", help="Table of measurements; by default the shipped one.")
]
MetaModelOption = Annotated[
    Path | None, typer.Option("--meta-model", help="Meta-model file; by default the shipped one.")
]


@app.command()
def strategies(
    device: Annotated[str, typer.Option(help="Device class: cpu or cuda.")] = "cpu",
    vllm_version: Annotated[
        str | None, typer.Option(help="vLLM version; by default the one the meta-model was measured with.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", help="Model directory that the strategies are for.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="GPUs to share a model out over.")] = 1,
    combine: Annotated[
        int, typer.Option(min=0, max=4, help="Also list every combination of up to this many options.")
    ] = 0,
    as_json: options.Json = False,
) -> None:
    """List the strategies: which are offered here and why the others are not, exactness, and what a start costs."""
    from metainf.catalogue import EXTRAS, catalogue
    from metainf.compatibility import offers
    from metainf.devices import DEVICES
    from metainf.errors import VersionUnreadable
    from metainf.grammar import expand
    from metainf.model import MetaModel
    from metainf.strategy import is_version

    _check_device(device)
    if vllm_version is not None and not is_version(vllm_version):
        raise VersionUnreadable(vllm_version)
    meta_model = MetaModel.load()
    where = _surroundings(device, vllm_version or str(meta_model.provenance["vllm_version"]), devices, model)
    found = list(catalogue(device, where.vllm_version, EXTRAS))
    if combine:
        names = {each.name for each in found}
        found += [each for each in expand(DEVICES[device], combine) if each.name not in names]
    starts = meta_model.start_secs if device == "cpu" else {}
    listed = offers(found, where)
    if as_json:
        say_json(
            [
                {
                    **each.strategy.to_json(),
                    "digest": each.strategy.digest(),
                    "offered": not each.refusals,
                    "refusals": list(each.refusals),
                    "start_secs": starts.get(each.strategy.name),
                }
                for each in listed
            ]
        )
    else:
        rows = [
            (
                each.strategy.name,
                "no" if each.refusals else "yes",
                "yes" if each.strategy.exact else "not measured",
                f"{starts[each.strategy.name]:g} s" if each.strategy.name in starts else "-",
                "; ".join(each.refusals) or each.strategy.description,
            )
            for each in listed
        ]
        say_table(("STRATEGY", "OFFERED", "EXACT", "START", "WHAT IT DOES, OR WHY NOT"), rows)


def _check_device(name: str) -> None:
    from metainf.devices import DEVICES
    from metainf.errors import DeviceUnknown

    if name not in DEVICES:
        raise DeviceUnknown(name, tuple(DEVICES))


def _surroundings(device: str, vllm_version: str, devices: int, model: Path | None) -> "Surroundings":
    """This machine as far as it is one of that device, and what the model's manifest lists."""
    from metainf import HardwareFacts, ModelFacts
    from metainf.campaign import GPU_KV_CACHE_BYTES
    from metainf.catalogue import installed_extras
    from metainf.compatibility import Surroundings
    from metainf.errors import GpuUnknown
    from metainf.gpu import detect_gpu
    from protocol.manifest import build_manifest

    hardware, capability = None, None
    if device == "cpu":
        hardware = HardwareFacts.detect()
    elif device == "cuda":
        try:
            gpu = detect_gpu(GPU_KV_CACHE_BYTES)
            hardware, capability = gpu.hardware, gpu.compute_capability
        except GpuUnknown as error:
            note(f"{error}. What depends on the GPU is left out.")
    variants = build_manifest(model).variants if model is not None else ()
    return Surroundings(
        device=device,
        vllm_version=vllm_version,
        extras=installed_extras(),
        devices=devices,
        compute_capability=capability,
        quantizations=tuple(sorted({each.quantization for each in variants} - {"none"})),
        kv_dtypes=tuple(sorted({each.kv_dtype for each in variants} - {"auto"})),
        model=ModelFacts.from_dir(model) if model is not None else None,
        hardware=hardware,
    )


@app.command()
def measure(
    table: Annotated[Path, typer.Option("--table", help="Table to write or to go on with.")],
    device: Annotated[str, typer.Option(help="Device class: cpu or cuda.")] = "cpu",
    model: Annotated[
        Path | None, typer.Option("--model", help="CPU: also measure this model on its own questions.")
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option("--shape", help="Only this model shape. May be repeated.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each task under each strategy.")] = 3,
    resident: Annotated[int, typer.Option(min=1, help="Engines kept up side by side.")] = 4,
    race: Annotated[
        int, typer.Option(min=0, help="CPU: runs of those that may be the best of a task, side by side.")
    ] = 0,
    budget: Annotated[
        str | None, typer.Option(help="Stop after this long, such as 8m; by default when all is measured.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a table that exists.")] = False,
) -> None:
    """Sweep the strategies on this machine with vLLM. Stop at any time, and go on with --resume."""
    from metainf.campaign import Order, budget_secs, measure_here

    _check_device(device)
    order = Order(
        table=table,
        device="cuda" if device == "cuda" else "cpu",
        model=model,
        shapes=tuple(shape or ()),
        repeats=repeats,
        resident=resident,
        race=race,
        budget_secs=budget_secs(budget),
        resume=resume,
    )
    say(f"Added {measure_here(order, _show_progress)} rows to {table}")


@app.command()
def train(
    table: TableOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; by default the shipped meta-model is replaced."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Train a meta-model on a table of measurements. The same table gives the same bytes."""
    from metainf.model import SHIPPED
    from metainf.train import train as learn

    made = learn(table or _shipped_table())
    target = out or SHIPPED
    _write(target, made.to_bytes())
    if as_json:
        say_json({"meta_model": str(target), "digest": made.digest(), **made.provenance})
    else:
        say(f"Wrote {target}, digest {made.digest()}")


@app.command()
def evaluate(
    table: Annotated[
        Path | None,
        typer.Option(
            "--table",
            help="Measurements, or any table of costs (CSV, Parquet: task_id, alternative, cost); "
            "by default the shipped one.",
        ),
    ] = None,
    test: Annotated[
        Path | None, typer.Option("--test", help="Learn from the whole table and predict this one.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Write what was chosen for each task (CSV, Parquet).")
    ] = None,
    default: Annotated[
        str | None, typer.Option("--default", help="The alternative that runs if nobody chooses.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Judge the selector against every baseline. Seen and unseen models are judged apart."""
    from metainf.evaluate import evaluate_table
    from metainf.report import check_writable, to_markdown, write_choices

    if predictions is not None:
        # Before minutes of judging.
        check_writable(predictions)
    judged = evaluate_table(table or _shipped_table(), test, default)
    if predictions is not None:
        write_choices(judged.chosen, predictions)
    if as_json:
        say_json(judged.to_json())
    else:
        say(to_markdown(judged))


@app.command()
def harvest(
    out: Annotated[Path, typer.Option("--out", help="Table of measurements to write (Parquet).")],
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Rebuild measurements from the receipts of every worker, of tasks that settled unchallenged."""
    from auditor.harvest import gather
    from metainf.harvest import harvest as measurements
    from metainf.harvest import jobs
    from metainf.table import write_table

    desk = connect.desk(deployment, rpc)
    gathered = gather(desk.rpc, desk.deployment, connect.store(store, read_only=True) if store else None)
    alone = jobs(gathered.served)
    found = measurements(alone)
    write_table(found.rows, out)
    counts = {
        "receipts": len(gathered.served),
        "without_receipt": gathered.unread,
        "challenged": gathered.challenged,
        "ran_alone": len(alone),
        "unknown_strategy": found.unknown_strategy,
        "impossible_facts": found.impossible_facts,
        "beyond_share": found.beyond_share,
        "rows": len(found.rows),
    }
    if as_json:
        say_json({"table": str(out), **counts})
    else:
        say(f"Wrote {out}: {len(found.rows)} jobs that had their machine to themselves")
        say_table(("RECEIPTS", "COUNT"), [(name.replace("_", " "), str(n)) for name, n in counts.items()])


@app.command()
def challenge(
    harvested: Annotated[Path, typer.Option("--harvested", help="Table that 'harvest' wrote.")],
    out: Annotated[Path, typer.Option("--out", help="Meta-model file to write if it is better.")],
    table: TableOption = None,
    meta_model: MetaModelOption = None,
    as_json: options.Json = False,
) -> None:
    """Train with the market's jobs, and promote the result only if it is better on the latest of them."""
    from metainf.challenge import challenge as compare
    from metainf.model import SHIPPED, MetaModel

    found = compare(MetaModel.load(meta_model or SHIPPED), table or _shipped_table(), harvested)
    verdict = found.verdict
    if found.learned is not None:
        _write(out, found.learned.to_bytes())
    if as_json:
        digest = found.learned.digest() if found.learned else None
        say_json(
            {"promoted": verdict.promoted, "digest": digest, "jobs": verdict.jobs, "gain_log": verdict.gain}
        )
    else:
        say(f"{verdict.sentence()}.".capitalize())
        say(f"Wrote {out}" if found.learned else "Nothing written: the champion stays")


@app.command()
def replay(
    newcomer: Annotated[
        str | None,
        typer.Option("--newcomer", help="Member of the group that arrives; by default each in turn."),
    ] = None,
    group: Annotated[
        str, typer.Option("--group", help="What nobody has seen: a model, hardware, ...")
    ] = "model",
    rounds: Annotated[int, typer.Option(min=1, help="Streams to average over.")] = 3,
    table: TableOption = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw cumulative regret (PNG, SVG).")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Replay a stream of jobs in which something never seen arrives, and show the regret of going on learning."""
    from metainf.evaluate import read_any
    from metainf.replay import members
    from metainf.replay import replay as run
    from metainf.report import replayed_rows

    problem = read_any(table or _shipped_table())
    arriving = (newcomer,) if newcomer else members(problem, group)
    found = [run(problem, group, each, rounds) for each in arriving]
    if picture is not None:
        from metainf.pictures import draw_replays

        draw_replays(found, picture)
    if as_json:
        say_json([each.to_json() for each in found])
    else:
        say_table(*replayed_rows(found))


@app.command("import")
def import_(
    source: Annotated[Path, typer.Argument(help="All_results.csv of LLM-Inference-Bench.")],
    out: Annotated[Path, typer.Option("--out", help="Table of costs to write (CSV).")],
    raw: Annotated[bool, typer.Option("--raw", help="Keep the rows with known defects.")] = False,
) -> None:
    """Turn LLM-Inference-Bench into a table that 'evaluate' reads."""
    from metainf.llm_inference_bench import import_table

    contested = import_table(source, out, clean=not raw)
    say(f"Wrote {out}: {contested} tasks with two or more frameworks")


@app.command()
def explain(
    task: TaskArgument,
    meta_model: MetaModelOption = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    picture: Annotated[Path | None, typer.Option("--picture", help="Draw it (PNG, SVG).")] = None,
    as_json: options.Json = False,
) -> None:
    """Say why a task was run under its strategy. The choice is made again from its receipt."""
    from auditor.meta_models import published
    from metainf import SelectionRecord, Selector
    from metainf.explain import HEADINGS, LEGEND, rows
    from metainf.explain import explain as words
    from wallet.journal import parse_task_id

    desk = connect.desk(deployment, rpc)
    answer = connect.answer(desk, parse_task_id(task, tuple(desk.read().market.tasks)), store)
    record = SelectionRecord.from_json(answer.document.selection)
    selector = Selector.load(meta_model)
    if meta_model is None and record.meta_model_digest != selector.meta_model_digest:
        # A worker may choose with a meta-model that it trained itself.
        selector = published(connect.store(store, read_only=True), record.meta_model_digest)
    choice = selector.replay(record)
    if picture is not None:
        from metainf.pictures import draw_choice

        draw_choice(choice, picture)
    if as_json:
        say_json(
            {
                "chosen": choice.strategy.name,
                "reason_code": choice.reason_code,
                "reason": choice.reason,
                "replayed": choice.record.digest() == record.digest(),
                "record": record.to_json(),
            }
        )
    else:
        say(words(choice))
        say_table(HEADINGS, rows(choice))
        say(LEGEND)
        if choice.record.digest() != record.digest():
            note("The receipt records another choice: see 'quern audit'.")


def _shipped_table() -> Path:
    from metainf.model import SHIPPED_TABLE

    return SHIPPED_TABLE


def _write(path: Path, data: bytes) -> None:
    from chain.files import replace_file

    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data)


def _show_progress(progress: "Progress") -> None:
    note(f"{progress.done}/{progress.total} {progress.task_id} {progress.strategy}: {progress.outcome}")
