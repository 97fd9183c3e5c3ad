"""`--mesh` and `--revision`: where the weights lie, and which weights."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from connected import connected
from measure_verbs import MEASUREMENTS, ONCE, refused
from texts import write_words

from signmag_jax.cli import run
from signmag_jax.evidence import InvalidInput


@pytest.fixture
def nll(hub_folder, tmp_path):
    text = write_words(tmp_path / "text.txt")
    return ["measure", "nll", "--text", str(text), "--window", "16", "--windows", "2", "--json", "--model"]


def test_a_mesh_of_one_device_gives_the_same_loss_and_is_recorded(nll, hub_folder, capsys):
    found = []
    for extra in ([], ["--mesh", "data=1, tensor=1"]):
        assert run([*nll, str(hub_folder), *extra]) == 0
        found.append(json.loads(capsys.readouterr().out))
    plain, spread = found
    assert spread["value"] == pytest.approx(plain["value"], rel=1e-6)
    assert plain["provenance"]["model"]["notes"] == []
    assert spread["provenance"]["model"]["notes"] == ["mesh data=1, tensor=1"]


@pytest.mark.parametrize(
    "mesh", ["", "data", "data=", "model=2", "data=2,data=2", "data=-1", "tensor=x", "data=" + "9" * 5000]
)
def test_a_mesh_that_cannot_be_read_is_refused(nll, hub_folder, capsys, mesh):
    refused(capsys, [*nll, str(hub_folder), "--mesh", mesh], "--mesh")


@pytest.mark.parametrize("mesh", ["data=4096", "tensor=0"])
def test_a_mesh_of_devices_that_are_not_there_is_one_line(nll, hub_folder, capsys, mesh):
    for extra in ([], ["--dry-run"]):
        there = "data >= 1, tensor >= 1 and data * tensor <="
        refused(capsys, [*nll, str(hub_folder), "--mesh", mesh, *extra], there)


def test_the_revision_reaches_the_hub_and_no_path(nll, hub_folder, capsys, monkeypatch):
    asked = []

    def download(name, *, revision, allow_patterns, tqdm_class):
        asked.append((name, revision))
        return str(hub_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert run([*nll, "someone/tiny", "--revision", "v2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert asked == [("someone/tiny", "v2")]
    assert found["provenance"]["model"]["source"]["revision"] == hub_folder.name
    refused(capsys, [*nll, str(hub_folder), "--revision", "v2"], "a path has none: leave the revision out")


def test_a_dry_run_says_that_the_weights_would_not_fit(nll, hub_folder, capsys, monkeypatch):
    monkeypatch.setattr("signmag_jax.models.memory.available_memory", lambda: 1000)
    refused(
        capsys, [*nll, str(hub_folder), "--dry-run"], "GiB of memory are available: choose a smaller model"
    )


def _numbers(plain, path=""):
    """Every number of a result by its place, but for where it came from."""
    if isinstance(plain, dict):
        pieces = [(key, value) for key, value in plain.items() if key != "provenance"]
    elif isinstance(plain, list):
        pieces = list(enumerate(plain))
    else:
        pieces = []
        if isinstance(plain, int | float) and not isinstance(plain, bool):
            yield path, float(plain)
    for key, value in pieces:
        yield from _numbers(value, f"{path}/{key}")


def _farthest(one, many):
    """The largest difference, relative to the number or to a thousandth."""
    ours, theirs = dict(_numbers(one)), dict(_numbers(many))
    assert ours.keys() == theirs.keys()
    assert all(math.isfinite(value) for value in ours.values())
    return max(abs(value - theirs[place]) / (abs(value) + 1e-3) for place, value in ours.items())


EVERY = [sys.executable, str(Path(__file__).with_name("every_measurement.py"))]
# The options of compilation that cost least, for programs that are run on almost nothing.
LEAST = "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
TOLERANCE = 2e-3
"""Losses of 5 nats, summed in another order, differ by some 1e-6: a thousandth of the least that counts."""


@pytest.fixture(scope="module")
def checkpoint(hub_folder, tmp_path_factory):
    """A model, and a text."""
    return str(hub_folder), str(write_words(tmp_path_factory.mktemp("text") / "text.txt"))


def on_devices(count, folder, checkpoint, *more):
    """Every measurement in one process of so many devices."""
    flags = f"{LEAST} --xla_force_host_platform_device_count={count}"
    done = subprocess.run(
        [*EVERY, "out.json", *checkpoint, *more],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out.json").read_text())


@pytest.fixture(scope="module")
def alone(checkpoint, tmp_path_factory):
    """Every measurement on one device."""
    return on_devices(1, tmp_path_factory.mktemp("alone"), checkpoint)


def check_all(found, alone):
    """The same numbers but for rounding; a bootstrap's ends jump little between its resamples."""
    assert found.keys() >= alone.keys() >= MEASUREMENTS.keys()
    gaps = {name: _farthest(alone[name], found[name]) for name in alone}
    assert {name: gap for name, gap in gaps.items() if gap > TOLERANCE} == {}
    assert _farthest(alone["leverage"], found["another seed"]) > 50 * TOLERANCE


@pytest.mark.slow
def test_every_measurement_over_a_mesh_is_that_of_one_device(checkpoint, alone, tmp_path):
    check_all(on_devices(4, tmp_path, checkpoint, "--mesh", "data=2,tensor=2"), alone)


@pytest.mark.slow
def test_every_measurement_over_two_processes_is_that_of_one(checkpoint, alone, tmp_path):
    """Each in a folder of its own, of which only the first gets records; what one alone holds is seen."""
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    command = [*EVERY, "out.json", *checkpoint, "--distributed"]
    connected([command] * 2, 4, folders, XLA_FLAGS=f"{LEAST} --xla_force_host_platform_device_count=4")
    found = json.loads((folders[0] / "out.json").read_text())
    check_all(found, alone)
    assert all(_farthest(alone[name], split) < TOLERANCE for name, split in found["weights"].items())
    assert found["resumed"] == {name: found[name] for name in (*MEASUREMENTS, "protect") if name not in ONCE}
    assert _farthest(alone["nll"], found["own half"]) > 5 * TOLERANCE
    assert [path.name for path in folders[1].iterdir()] == []
    for mistake, message in (
        ("idle process", "`a mesh with devices of all 2 processes` is required"),
        ("another run", "holds the records of another run (different: seed)"),
    ):
        code, said = found[mistake]
        assert (code, said.count("\n")) == (2, 1)
        assert message in said


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--mesh", "data=4096"], "data * tensor <="),
        (["--mesh", "model=2"], "--mesh takes"),
        (["--revision", "main"], "revision"),
        (["--model", "none", "--mesh", "data=1"], "no --mesh with --model none"),
        (["--model", "none", "--revision", "main"], "no --revision with --model none"),
    ],
)
def test_the_main_job_takes_devices_and_a_revision_and_refuses_wrong_ones(
    hub_folder, tmp_path, capsys, monkeypatch, extra, message
):
    from signmag_jax.claims import run as main_job

    monkeypatch.setattr(main_job, "_all_routes", lambda *_: pytest.fail("work began"))
    out = tmp_path / "run"
    call = ["reproduce", "--quick", "--out", str(out), "--model", str(hub_folder), *extra]
    refused(capsys, call, message)
    assert not out.exists()


def test_the_main_job_loads_over_the_mesh_that_it_was_given(hub_folder, tmp_path, monkeypatch):
    from signmag_jax.claims import run as main_job

    loaded = []

    def stop(level, subject, *_):
        loaded.append(subject.model.report.notes)
        raise InvalidInput("seen enough")

    monkeypatch.setattr(main_job, "_all_routes", stop)
    text = write_words(tmp_path / "text.txt")
    base = ["reproduce", "--quick", "--out", str(tmp_path / "run"), "--model", str(hub_folder)]
    for extra in ([], ["--mesh", "data=1"]):
        assert run([*base, "--text", str(text), *extra]) == 2
    assert loaded == [(), ("mesh data=1, tensor=1",)]
