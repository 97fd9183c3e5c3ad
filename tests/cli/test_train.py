"""`signmag train` in the hands of someone who tries it on small networks."""

import json

import pytest

from signmag_jax.cli import run

SMALL = ["--activation", "relu", "--blocks", "1", "--width", "64", "--networks", "3", "--steps", "10"]


@pytest.fixture
def call(capsys):
    def command(*arguments):
        code = run(["train", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_a_run_prints_json_and_draws_a_picture(call, tmp_path):
    picture = tmp_path / "a.svg"
    command = ["--task", "regression", *SMALL, "--rate", "0.05", "--json", "--quiet", "--plot", picture]
    code, out, err = call(*command)
    assert (code, err) == (0, "")
    (found,) = json.loads(out)["trainings"]
    assert [each["step"] for each in found["run"]["snapshots"]] == [0, 10]
    assert found["blocks"][0][0]["ratio"]["Gaussian weights"]["law"]["n"] == 3
    assert "training steps" in picture.read_text()


def test_a_dry_run_trains_nothing(call):
    code, out, _ = call("--dry-run", "--json")
    assert code == 0
    assert json.loads(out)["kinds of networks"] == 8


def test_the_same_kind_is_trained_once(call):
    _, out, _ = call(
        "--dry-run", "--json", "--blocks", "1,2,1", "--task", "text,text", "--activation", "relu"
    )
    assert json.loads(out)["kinds of networks"] == 2


def test_a_dry_run_says_what_does_not_fit(call):
    """Weights alone of 103 GB, and of Adam as much again, twice."""
    code, out, _ = call("--dry-run", "--json", "--width", 2048, "--blocks", 8, "--networks", 256)
    assert code == 0
    size = json.loads(out)["memory"].removeprefix("about ").removesuffix(" GiB")
    assert float(size) > 3 * 4 * 256 * 8 * 3 * 2048**2 / 2**30


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--task", "regression", "--text", "some.txt"], "--text is for the task text"),
        (["--task", "chess"], "regression or text"),
        (["--task", "text", "--text", "nowhere.txt"], "cannot read text 'nowhere.txt'"),
        (["--networks", "2"], "`3 <= networks <= 256`"),
        (["--plot", "picture.docx"], ".docx"),
    ],
)
def test_what_is_wrong_is_one_line(call, given, said):
    code, out, err = call(*given)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
