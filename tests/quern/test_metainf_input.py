"""What a person can get wrong at `quern metainf`: one line with field, value and fix, and no file left behind."""

import pytest

from quern.cli import main


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """Runs a command that must be refused: returns its one line."""
    monkeypatch.chdir(tmp_path)

    def check(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["metainf", *arguments])
        shown = capsys.readouterr()
        assert ended.value.code == 2, shown.err
        assert shown.out == ""
        assert list(tmp_path.glob("x.*")) == []
        assert shown.err.count("\n") == 1
        return str(shown.err)

    return check


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("strategies", "--device", "tpu"), "METAINF-025 device 'tpu': choose among cpu, cuda"),
        (("measure", "--device", "tpu", "--table", "x.parquet"), "METAINF-025 device 'tpu'"),
        (
            ("measure", "--race", "9", "--resident", "4", "--table", "x.parquet"),
            "METAINF-027 resident 4: a race",
        ),
        (
            ("strategies", "--vllm-version", "abc"),
            "METAINF-026 vllm-version 'abc': give a version such as 0.32.0",
        ),
        (("evaluate", "--default", "NOPE"), "METAINF-011 default 'NOPE': choose among"),
        (
            ("evaluate", "--predictions", "x.foo"),
            "METAINF-012 predictions 'x.foo': name a file that ends in .csv",
        ),
    ],
)
def test_a_wrong_option_is_named_with_its_value_and_the_fix(refused, arguments, said):
    assert said in refused(*arguments)


def test_the_default_of_any_table_is_one_of_its_alternatives(refused, tmp_path):
    table = tmp_path / "costs.csv"
    table.write_text("task_id,alternative,cost\n1,a,1\n1,b,2\n2,a,1\n2,b,2\n")
    said = "METAINF-011 default 'c': choose among a, b"
    assert said in refused("evaluate", "--table", str(table), "--default", "c")
    assert said in refused("evaluate", "--table", str(table), "--test", str(table), "--default", "c")
