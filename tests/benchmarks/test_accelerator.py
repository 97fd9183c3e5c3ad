"""The script for a lent accelerator: whatever ends it, what it found is kept; and it runs here, small."""

import fcntl
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from signmag_jax import simulate

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SHELL = BENCHMARKS / "accelerator.sh"


@pytest.fixture
def accelerator(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import accelerator

    return accelerator


@pytest.fixture
def ran(accelerator, monkeypatch, tmp_path):
    """Runs sections that are given as source, and returns the report."""

    def run(sections, seconds=60.0):
        monkeypatch.setattr(accelerator, "PARTS", {})
        monkeypatch.setattr(accelerator, "SECTIONS", {})
        for name, (source, limit) in sections.items():
            script = tmp_path / f"{name}.py"
            script.write_text(source)
            accelerator.SECTIONS[name] = ([str(script)], limit)
        out = tmp_path / "report.json"
        status = accelerator.main([*sections, "--seconds", str(seconds), "--out", str(out)])
        return status, json.loads(out.read_text())["sections"]

    return run


SAYS = 'print(\'{"name": "a", "x": 1}\', flush=True); print("[1] not a finding", flush=True)\n'
# With a child that holds the pipe open.
HANGS = SAYS + "import subprocess; subprocess.run(['sleep', '600'])"


@pytest.mark.parametrize("of_its_own", [False, True])
def test_a_section_that_hangs_keeps_what_it_found_and_costs_its_own_time_alone(ran, of_its_own):
    """Also where its child leaves the group that is ended."""
    hangs = HANGS.replace("'600']", "'15'], start_new_session=True") if of_its_own else HANGS
    status, found = ran({"hangs": (hangs, 1.0), "after": (SAYS, 60.0)})
    assert status == 1
    assert found["hangs"]["ended"] == "out of time"
    assert 1 <= found["hangs"]["seconds"] < 12
    for section in found.values():
        assert [{**one, "at": None} for one in section["findings"]] == [{"name": "a", "x": 1, "at": None}]
    assert found["after"]["ended"] == "done"


def test_a_section_that_fails_is_no_success(ran):
    status, found = ran({"fails": (SAYS + "raise SystemExit('no card')", 60.0), "after": (SAYS, 60.0)})
    assert (status, found["fails"]["ended"], found["after"]["ended"]) == (1, "failed", "done")
    assert found["fails"]["last_lines"] == ["no card"]
    assert ran({"good": (SAYS, 60.0)})[0] == 0


def test_all_sections_end_in_time(ran):
    status, found = ran({"hangs": (HANGS, 60.0), "after": (SAYS, 60.0)}, seconds=1.0)
    assert (status, found["after"]["ended"], found["after"]["findings"]) == (1, "out of time", [])


ENDED = """
import sys
sys.path.insert(0, {folder!r})
import accelerator
accelerator.PARTS = {{}}
accelerator.SECTIONS = dict.fromkeys(("hangs", "after"), ([{script!r}], 60.0))
sys.exit(accelerator.main(["hangs", "after", "--out", {out!r}]))
"""


def test_whoever_ends_it_ends_its_section_too(tmp_path):
    """Left behind, that would keep the card from the next part."""
    script, out, held = tmp_path / "hangs.py", tmp_path / "out.json", tmp_path / "held"
    script.write_text(
        "import fcntl, json, time\n"
        f"held = open({str(held)!r}, 'w')\n"
        "fcntl.flock(held, fcntl.LOCK_EX)\n"
        "print(json.dumps({'name': 'a'}), flush=True)\n"
        "time.sleep(60)"
    )
    source = ENDED.format(folder=str(BENCHMARKS), script=str(script), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", source])
    deadline = time.monotonic() + 50
    while time.monotonic() < deadline and '"at"' not in (out.read_text() if out.exists() else ""):
        time.sleep(0.05)
    process.terminate()
    assert process.wait(20) == 143
    found = json.loads(out.read_text())["sections"]
    assert (found["hangs"]["ended"], found["after"]["ended"]) == ("stopped", "not begun")
    # An ended process lets go of its lock, also one that nobody has waited for yet.
    with held.open() as file:
        while not free(file):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def free(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_the_shell_knows_every_part(accelerator):
    assert sorted(name for part in accelerator.PARTS.values() for name in part) == sorted(
        accelerator.SECTIONS
    )
    for name, (script, _) in accelerator.SECTIONS.items():
        assert (BENCHMARKS / script[0]).is_file()
        assert re.search(rf"^  [a-z |]*\b{name}\b[a-z |]*\) setup;", SHELL.read_text(), re.MULTILINE)
    done = subprocess.run([str(SHELL)], capture_output=True, text=True)
    assert done.returncode == 2
    assert {"pack", *accelerator.PARTS} == {
        line.split()[1] for line in done.stdout.splitlines() if line[:2] == "  "
    }


def test_the_halves_of_the_model_are_joined(tmp_path):
    """With a Python that only notes what it is asked: the model is whole, and where it is looked for."""
    checkout = tmp_path / "checkout"
    (checkout / "benchmarks").mkdir(parents=True)
    (checkout / "benchmarks" / "accelerator.sh").write_bytes(SHELL.read_bytes())
    packed = checkout / "build" / "accelerator"
    (packed / "wheels").mkdir(parents=True)
    for name in ("signmag_jax", "rpds_py", "gguf"):
        (packed / "wheels" / f"{name}-0-py3-none-any.whl").touch()
    kept, cache = tmp_path / "kept", tmp_path / "cache"
    python = tmp_path / "python"
    # It has one of the three already; the others it installs to the folder it is given.
    python.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/asked
case "$*" in *list*) echo rpds-py==1;; *--target*) mkdir -p {kept}/site.part;; esac
"""
    )
    python.chmod(0o755)
    environment = {**os.environ, "ACCELERATOR_HOME": str(kept), "XDG_CACHE_HOME": str(cache)}
    environment["PYTHON"] = str(python)

    def part(number, half=None):
        if half is not None:
            (packed / f"model.{half}.gz").write_bytes(gzip.compress(f"half {half};".encode()))
        done = subprocess.run(
            ["bash", str(checkout / "benchmarks" / "accelerator.sh"), number], env=environment, text=True
        )
        for brought in packed.glob("model.?.gz"):
            brought.unlink()
        return done.returncode

    assert part("two", 1) == 1  # without part one
    shutil.rmtree(kept)
    assert part("one", 0) == 0
    assert part("three") == 1  # without part two
    assert part("two", 1) == part("three") == 0
    assert (cache / "signmag_jax" / "SmolLM2-135M-Instruct.Q4_1.gguf").read_text() == "half 0;half 1;"
    asked = (tmp_path / "asked").read_text()
    assert "benchmarks/accelerator.py one" in asked
    assert "benchmarks/accelerator.py two" in asked
    assert "benchmarks/accelerator.py three" in asked
    assert asked.count("wheels/signmag_jax") == asked.count("wheels/gguf") == 2
    assert "wheels/rpds_py" not in asked


def test_a_command_is_ended_in_time_and_says_how_far_it_came(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import card_commands

    command = [sys.executable, "-c", "import time; print('began', flush=True); time.sleep(600)"]
    monkeypatch.setattr(card_commands, "END", time.monotonic() + 1)
    assert card_commands.timed("a", command) != 0
    found = json.loads(capsys.readouterr().out)
    assert found["out_of_time"]
    assert found["last_lines"][0].endswith(" began")


def test_a_comparison_can_fail(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import card_correct

    right = np.linspace(1.0, 2.0, 5)
    assert card_correct.say_error("model", "a", right * (1 + 1e-5), right)
    assert not card_correct.say_error("model", "a", right * (1 + 1e-2), right)
    assert not card_correct.say_error("model", "a", np.full(5, np.nan), right)
    assert all(json.loads(line)["name"] == "model: a" for line in capsys.readouterr().out.splitlines())


def test_a_ledger_is_judged_by_verdicts_and_by_how_far_estimates_moved(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import card_commands

    def row(name, verdict=("REPRODUCED",) * 2, **moved):
        return {"name": name, "verdict": list(verdict), "moved": moved}

    def move(errors, before=1.0, after=1.0):
        return {"from": before, "to": after, "standard_errors": errors}

    found = card_commands.judge(
        {
            "changed": [
                row("rounded", simulated=move(-0.01)),
                row("other draws", simulated=move(-0.5), measured=move(0.001)),
                row("wrong", simulated=move(-7.0)),
                row("exact", predicted=move(None, 2.0, 2.0 + 1e-9)),
                row("another law", predicted=move(None, 2.0, 2.01)),
                row("gone", ("REPRODUCED", "NOT RUN"), measured={"from": 1.0, "to": "NOT RUN"}),
            ]
        }
    )
    assert found == {
        "other_verdicts": ["gone"],
        "beyond_rounding": ["other draws", "wrong", "another law", "gone"],
        "too_far": ["wrong", "another law", "gone"],
    }


def test_experiments_are_compared_from_the_same_draws(monkeypatch):
    """In another precision `crossings` draws other numbers, whose difference is no error of a device."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import card_correct

    def found(precision):
        simulate.program.block_program.cache_clear()  # it does not know of the precision
        with card_correct.rows_in(precision):
            return np.array(card_correct.estimates("block_fast", card_correct.SMALL))

    try:
        double, single, again = found(jnp.float64), found(jnp.float32), found(jnp.float32)
    finally:
        simulate.program.block_program.cache_clear()
    np.testing.assert_array_equal(single, again)
    assert card_correct.largest_error(single, double) > 1e-4


def test_a_finding_is_strict_json(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import findings

    findings.say(
        "a", ratio=float("nan"), parts={"x": [1.0, float("inf")], "none": None}, count=np.int64(3).item()
    )
    said = json.loads(capsys.readouterr().out)
    assert said == {"name": "a", "ratio": None, "parts": {"x": [1.0, None], "none": None}, "count": 3}


@pytest.mark.slow
@pytest.mark.parametrize("part", ["one", "two", "three"])
def test_a_part_runs_on_a_cpu(part, tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, str(BENCHMARKS / "accelerator.py"), part, "--small", "--seconds", "900"]
    done = subprocess.run([*command, "--out", str(out)], env={**os.environ, "JAX_PLATFORMS": "cpu"})
    sections = json.loads(out.read_text())["sections"]
    assert {name: entry["ended"] for name, entry in sections.items()} == dict.fromkeys(sections, "done")
    assert done.returncode == 0
    assert all(entry["findings"] for entry in sections.values())
