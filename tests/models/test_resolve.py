"""Names to files, with the hub replaced by folders."""

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import oracle
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from signmag_jax import models
from signmag_jax.evidence import MissingResource
from signmag_jax.models.resolve import resolve


def test_a_hub_name_pins_its_revision_in_the_report(tmp_path, monkeypatch):
    snapshot = tmp_path / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    oracle.save(oracle.oracle("llama", {}), snapshot)
    asked = []

    def download(name, *, revision, allow_patterns, tqdm_class):
        asked.append((name, revision, allow_patterns))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    report = models.load("someone/model", revision="main").report
    assert report.source == {"name": "someone/model", "kind": "hub", "revision": "0123abc"}
    assert asked[0][:2] == ("someone/model", "main")
    assert not any(
        pattern.endswith((".bin", ".py", "*")) and pattern != "tokenizer*" for pattern in asked[0][2]
    )


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RepositoryNotFoundError, "RepositoryNotFoundError"),
        (LocalEntryNotFoundError, "the hub was not reached"),
        (ConnectionError, "ConnectionError"),
    ],
)
def test_an_unknown_name_or_no_network_is_one_line(monkeypatch, error, why):
    def download(*_, **__):
        failure = error.__new__(error)
        Exception.__init__(failure, "cannot\nreach it")
        raise failure

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(MissingResource, match=rf"no model 'someone/else'.*{why}.*check the name") as caught:
        resolve("someone/else")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_paths_that_do_not_exist_never_reach_the_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    for path in (tmp_path / "absent", tmp_path / "absent.gguf", "./absent", "absent.gguf"):
        with pytest.raises(MissingResource, match="does not exist"):
            resolve(path)
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(MissingResource, match=r"neither a \.gguf file nor a folder"):
        resolve(tmp_path / "weights.bin")
    (tmp_path / "no.gguf").write_bytes(b"not one")
    with pytest.raises(ValueError, match=r"no\.gguf is no GGUF file"):
        models.load(tmp_path / "no.gguf")


def test_a_device_is_no_model():
    with pytest.raises(MissingResource, match=r"/dev/null is neither a .gguf file nor a folder"):
        resolve("/dev/null")


FIRST, SECOND = "1" * 40, "2" * 40


def _cached(hub, gain, commit, refs):
    """A model of the hub's cache as its client lays it out, told apart by the first gain of its norm."""
    snapshot = hub / "models--someone--tiny" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    model = oracle.oracle("llama", {})
    with torch.no_grad():
        model.model.norm.weight[0] = gain
    oracle.save(model, snapshot)
    for ref in refs:
        path = hub / "models--someone--tiny" / "refs" / ref
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(commit)


def test_offline_the_cache_of_the_hub_is_read_and_the_commit_pinned(tmp_path):
    _cached(tmp_path, 3.0, FIRST, ["main"])
    _cached(tmp_path, 5.0, SECOND, ["v2", "refs/pr/7"])
    asked = ["someone/tiny", "someone/tiny@v2", f"someone/tiny@{SECOND}", "someone/tiny@refs/pr/7"]
    asked += ["someone/tiny@v9", "someone/absent", "not a name!"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("from_hub.py"), *asked],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    main, tag, commit, request, *refused = json.loads(done.stdout)
    for found, revision, gain in ((main, FIRST, 3.0), (tag, SECOND, 5.0)):
        assert found["source"] == {"name": "someone/tiny", "kind": "hub", "revision": revision}
        assert found["first"] == gain
    assert tag == commit == request
    for line, name in zip(
        refused, ("'someone/tiny' at revision 'v9'", "'someone/absent'", "'not a name!'"), strict=True
    ):
        assert line.startswith(f"no model {name} here or on the hub (")
        assert "\n" not in line
    assert all("it is not in the cache, and the hub was not reached" in line for line in refused[:2])
