"""`quern metainf`: measure strategies, train the meta-model, judge it, explain a choice."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quern import connect, options
from quern.console import note, say, say_json, say_table
from quern.follow import TaskArgument

if TYPE_CHECKING:
    from metainf.measure import Progress

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
    device: Annotated[str, typer.Option(help="Device class, such as cpu.")] = "cpu",
    vllm_version: Annotated[
        str | None, typer.Option(help="vLLM version; by default the one the meta-model was measured with.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the strategies of the catalogue."""
    from metainf import catalogue
    from metainf.model import MetaModel

    version = vllm_version or str(MetaModel.load().provenance["vllm_version"])
    found = catalogue(device, version)
    if as_json:
        say_json([{**each.to_json(), "digest": each.digest()} for each in found])
    else:
        rows = [(each.name, "yes" if each.exact else "no", each.description) for each in found]
        say_table(("STRATEGY", "EXACT", "WHAT IT DOES"), rows)


@app.command()
def measure(
    table: Annotated[Path, typer.Option("--table", help="Table to write or to go on with.")],
    model: Annotated[
        Path | None, typer.Option("--model", help="Also measure this model on its own questions.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each task under each strategy.")] = 3,
    resident: Annotated[int, typer.Option(min=1, help="Engines kept up side by side.")] = 4,
) -> None:
    """Sweep the strategies on this machine with vLLM. Stop and go on at any time."""
    from tempfile import TemporaryDirectory

    from metainf import HardwareFacts
    from metainf.measure import run_sweep
    from metainf.model import MetaModel
    from metainf.sweeps import cpu_sweep

    version = str(MetaModel.load().provenance["vllm_version"])
    with TemporaryDirectory() as folder:
        sweep = cpu_sweep(model, Path(folder), HardwareFacts.detect(), version, repeats, resident)
        added = run_sweep(sweep, table, _show_progress)
    say(f"Added {added} rows to {table}")


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
    target.write_bytes(made.to_bytes())
    if as_json:
        say_json({"meta_model": str(target), "digest": made.digest(), **made.provenance})
    else:
        say(f"Wrote {target}, digest {made.digest()}")


@app.command()
def evaluate(
    table: TableOption = None,
    costs: Annotated[
        Path | None,
        typer.Option("--costs", help="Any table of costs instead: task_id, alternative, cost, features."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Judge the selector against every baseline. Seen and unseen models are judged apart."""
    from metainf.evaluate import evaluate as judge
    from metainf.evaluate import evaluate_table
    from metainf.generic import read_problem

    judged = judge(read_problem(costs)) if costs is not None else evaluate_table(table or _shipped_table())
    if as_json:
        say_json(judged.to_json())
    else:
        say(judged.to_markdown())


@app.command()
def explain(
    task: TaskArgument,
    meta_model: MetaModelOption = None,
    deployment: options.Deployment = None,
    rpc: options.Rpc = None,
    store: options.Store = None,
    as_json: options.Json = False,
) -> None:
    """Say why a task was run under its strategy. The choice is made again from its receipt."""
    from metainf import SelectionRecord, Selector
    from metainf.explain import explain as words
    from wallet.journal import parse_task_id

    desk = connect.desk(deployment, rpc)
    answer = connect.answer(desk, parse_task_id(task, tuple(desk.read().market.tasks)), store)
    record = SelectionRecord.from_json(answer.document.selection)
    choice = Selector.load(meta_model).replay(record)
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
        if choice.record.digest() != record.digest():
            note("The receipt records another choice: see 'quern audit'.")


def _shipped_table() -> Path:
    from metainf.model import SHIPPED

    return SHIPPED.with_name("cpu.parquet")


def _show_progress(progress: "Progress") -> None:
    note(f"{progress.done}/{progress.total} {progress.task_id} {progress.strategy}: {progress.outcome}")
