"""LLM-Inference-Bench into a table of costs, on a few rows of its form."""

import csv

import pytest

from metainf.errors import TableUnreadable
from metainf.generic import read_problem
from metainf.llm_inference_bench import import_table

HEAD = "Hardware,Num of Hardware,Framework,Model,Input Output Length,Batch Size,Latency,Throughput\n"
H100, A100 = "Nvidia H100 GPU", "Nvidia A100 GPU"
LLAMA = "meta-llama/Llama-2-7b-hf"


def source(tmp_path, *rows: str):
    path = tmp_path / "All_results.csv"
    path.write_text(HEAD + "\n".join(rows) + "\n")
    return path


def row(hardware=H100, framework="vLLM", batch=16, latency=2.0, model=LLAMA) -> str:
    return f"{hardware},1,{framework},{model},128,{batch},{latency},1"


def test_repeats_are_one_cost_and_tasks_with_a_choice_are_counted(tmp_path):
    rows = [
        row(latency=2.0),
        row(latency=8.0),
        row(framework="TensorRT-LLM", latency=1.0),
        row(hardware=A100),
    ]
    out = tmp_path / "costs.csv"
    assert import_table(source(tmp_path, *rows), out, clean=True) == 1
    written = list(csv.DictReader(out.open()))
    assert [(r["alternative"], r["cost"], r["group_hardware"]) for r in written] == [
        ("vLLM", "2", A100),
        ("TensorRT-LLM", "1", H100),
        ("vLLM", "4", H100),
    ]
    problem = read_problem(out)
    assert len(problem.tasks) == 2
    assert set(problem.groups) == {"model", "hardware"}
    assert problem.task_columns
    assert (problem.offset_log != 0).all()


def test_cleaning_drops_the_times_of_one_sequence_and_the_rows_that_contradict_each_other(tmp_path):
    rows = [
        row(framework="llama.cpp", batch=1),
        row(framework="llama.cpp", batch=16),
        row(batch=1),
        row(batch=16),
        row(hardware="Intel Max 1550"),
    ]
    path, out = source(tmp_path, *rows), tmp_path / "costs.csv"
    assert import_table(path, out, clean=True) == 1
    assert len(out.read_text().splitlines()) == 1 + 3
    assert import_table(path, out, clean=False) == 2
    assert len(out.read_text().splitlines()) == 1 + 5


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (row(hardware="Abacus"), "line 2: 'Abacus' is not described"),
        (row(model="gpt-0"), "line 2: 'gpt-0' is not described"),
        (row(latency=-1), "line 2: latency -1.0 s"),
        (row(batch="many"), "line 2: invalid literal"),
        (row(batch=0), "line 2: batch size 0 is not from 1 to"),
        (row(batch=-4), "line 2: batch size -4 is not from 1 to"),
        (row(batch="9" * 400), "line 2: batch size .* is not from 1 to"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_nothing_is_written(bad, message, tmp_path):
    out = tmp_path / "costs.csv"
    with pytest.raises(TableUnreadable, match=message):
        import_table(source(tmp_path, bad), out, clean=True)
    assert not out.exists()


def test_a_file_of_another_form_is_refused(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(TableUnreadable, match="columns missing: Hardware"):
        import_table(tmp_path / "other.csv", tmp_path / "costs.csv", clean=True)
    with pytest.raises(TableUnreadable, match="cannot be read"):
        import_table(tmp_path / "absent.csv", tmp_path / "costs.csv", clean=True)
