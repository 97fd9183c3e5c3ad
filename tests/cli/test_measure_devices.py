"""`--mesh` and `--revision`: where the weights lie, and which weights."""

import json

import huggingface_hub
import pytest
from measure_verbs import write_text

from signmag_jax.cli import run


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
    assert run([*nll, str(hub_folder), "--mesh", mesh]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "--mesh" in err


@pytest.mark.parametrize("mesh", ["data=4096", "tensor=0"])
def test_a_mesh_of_devices_that_are_not_there_is_one_line(nll, hub_folder, capsys, mesh):
    for extra in ([], ["--dry-run"]):
        assert run([*nll, str(hub_folder), "--mesh", mesh, *extra]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert "data >= 1, tensor >= 1 and data * tensor <=" in err


def test_the_revision_reaches_the_hub_and_no_path(nll, hub_folder, capsys, monkeypatch):
    asked = []

    def download(name, *, revision, allow_patterns):
        asked.append((name, revision))
        return str(hub_folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert run([*nll, "someone/tiny", "--revision", "v2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert asked == [("someone/tiny", "v2")]
    assert found["provenance"]["model"]["source"]["revision"] == hub_folder.name
    assert run([*nll, str(hub_folder), "--revision", "v2"]) == 2
    assert "a path has none: leave the revision out" in capsys.readouterr().err


def test_a_dry_run_says_that_the_weights_would_not_fit(nll, hub_folder, capsys, monkeypatch):
    monkeypatch.setattr("signmag_jax.models.memory.available_memory", lambda: 1000)
    assert run([*nll, str(hub_folder), "--dry-run"]) == 2
    assert "GiB of memory are available: choose a smaller model" in capsys.readouterr().err
