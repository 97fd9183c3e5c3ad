"""`--mesh` and `--revision`: where the weights lie, and which weights."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
from measure_verbs import VERBS, refused, write_text

from signmag_jax.cli import run
from signmag_jax.evidence import InvalidInput


@pytest.fixture
def nll(hub_folder, tmp_path):
    text = write_text(tmp_path / "text.txt")
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


@pytest.mark.slow
def test_every_measurement_over_a_mesh_is_that_of_one_device(hub_folder, tmp_path):
    flags = "--xla_force_host_platform_device_count=4"
    flags += " --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
    done = subprocess.run(
        [
            sys.executable,
            Path(__file__).with_name("on_devices.py"),
            hub_folder,
            write_text(tmp_path / "text.txt"),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    # The masks are the same; sums come in another order, and a bootstrap's ends jump between few samples.
    assert {name: gap for name in VERBS if (gap := _farthest(*found[name])) > 1e-2} == {}
    assert _farthest(*found["another seed"]) > 0.1


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
    text = write_text(tmp_path / "text.txt")
    base = ["reproduce", "--quick", "--out", str(tmp_path / "run"), "--model", str(hub_folder)]
    for extra in ([], ["--mesh", "data=1"]):
        assert run([*base, "--text", str(text), *extra]) == 2
    assert loaded == [(), ("mesh data=1, tensor=1",)]
