"""The command line: JSON alone on standard output, one line for a mistake, exit codes, no side effects."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from signmag_jax.cli import run

VERBS = {"reproduce": (), "prove": (), "report": (), "diff": (), "doctor": (), "export": (), "train": ()}
VERBS |= {
    "plan": (),
    "protect": (),
    "law": ("transverse_ratio",),
    "simulate": ("block",),
    "measure": ("leverage",),
}


def call(capsys, *arguments):
    code = run(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def options_in(text):
    """The options that a help lists, without its own."""
    return re.findall(r"^  (?:-\w, )?--([a-z-]+)", text, re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_and_the_common_options(capsys, verb):
    code, out, _ = call(capsys, verb, *VERBS[verb], "--help")
    assert code == 0
    assert f"Example: signmag {verb}" in out
    assert {"json", "seed", "quiet"} <= set(options_in(out))


@pytest.mark.parametrize("verb", [[], ["law"], ["simulate"], ["measure"]])
def test_a_list_of_commands_cuts_no_sentence(capsys, verb):
    code, out, _ = call(capsys, *verb, "--help")
    listed = out.partition("Commands:")[2].partition("Example:")[0]
    assert code == 0
    assert "..." not in listed
    assert max(map(len, out.splitlines())) <= 80
    sentences = re.split(r"\n  (?=\S)", listed.strip())
    assert len(sentences) > 10
    assert all(one.endswith((".", "?")) for one in sentences)


@pytest.mark.parametrize("verb", ["reproduce", "simulate", "measure", "plan", "protect"])
def test_heavy_verbs_state_their_cost(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)  # where no earlier run is in the way
    _, out, _ = call(capsys, verb, *VERBS[verb], "--help")
    assert {"device", "dtype", "dry-run", "resume"} <= set(options_in(out))
    code, out, _ = call(capsys, verb, *VERBS[verb], "--dry-run", "--json")
    assert code == 0
    assert any("memory" in name for name in json.loads(out))


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from signmag_jax.cli import run; run(['--help']); run(['reproduce', '--help']);"
        "print([m for m in ('jax', 'numpy', 'sympy', 'matplotlib', 'flax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")


def test_law_prints_json_and_nothing_else(capsys):
    code, out, err = call(capsys, "law", "transverse_ratio", "--rate", "0.01", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert abs(found["value"] - 2.66829030845228) < 1e-12
    assert found["standard_error"] == 0
    assert found["unit"] == "1"


def test_law_over_a_range_and_as_a_picture(capsys, tmp_path):
    picture = tmp_path / "law.svg"
    code, out, err = call(
        capsys, "law", "transverse_ratio", "--range", "1e-4:0.5:5", "--plot", str(picture), "--json"
    )
    assert code == 0
    assert len(json.loads(out)["value"]) == 5
    assert picture.read_text().startswith("<svg")
    assert str(picture) in err


def test_simulate_stops_at_its_standard_error(capsys):
    code, out, _ = call(
        capsys, "simulate", "block", "--width", "32", "--rate", "0.05", "--standard-error", "0.05", "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert 0 < found["standard_error"] <= 0.05
    assert found["n"] >= 32


def test_short_text_is_refused_before_any_work(capsys, tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("Too short to cut windows from.")
    code, out, err = call(capsys, "reproduce", "--quick", "--text", str(text), "--out", str(tmp_path / "run"))
    assert (code, out) == (2, "")
    assert "tokens" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow  # the main job, begun twice
def test_an_interrupt_leaves_no_half_written_run(tmp_path):
    options = ["--model", "none", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "signmag_jax", "reproduce", *options]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    # Long enough to be inside the work, far less than the work takes.
    time.sleep(8)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=120)
    assert child.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not (tmp_path / "run" / "ledger.json").exists()
