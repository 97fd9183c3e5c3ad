"""Names to files, with the hub replaced by folders."""

import huggingface_hub
import oracle
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from signmag_jax import models
from signmag_jax.cli import run
from signmag_jax.evidence import MissingResource, SignmagError
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


@pytest.mark.parametrize("arguments", [["reproduce"], ["measure", "nll"], ["measure", "trained-chain"]])
def test_a_dry_run_asks_for_a_model_of_the_hub_and_says_if_there_is_none(
    monkeypatch, capsys, tmp_path, arguments
):
    asked = []

    def download(name, file, **options):
        asked.append((name, file, options["revision"]))
        if name == "nosuch/model":
            raise ConnectionError("no such model")
        return str(tmp_path / "config.json")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("fetched"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.chdir(tmp_path)
    assert run([*arguments, "--dry-run", "--model", "nosuch/model"]) == 2
    assert "no model 'nosuch/model' here or on the hub" in capsys.readouterr().err
    assert run([*arguments, "--dry-run", "--model", "some/model", "--revision", "main"]) == 0
    assert asked == [("nosuch/model", "config.json", None), ("some/model", "config.json", "main")]


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


def _outcome(asked):
    name, _, revision = asked.partition("@")
    try:
        model = models.load(name, revision=revision or None)
    except SignmagError as error:
        return str(error)
    return model.report.source, float(model.params["norm"][0])


def test_offline_the_cache_of_the_hub_is_read_and_the_commit_pinned(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    _cached(tmp_path, 3.0, FIRST, ["main"])
    _cached(tmp_path, 5.0, SECOND, ["v2", "refs/pr/7"])
    capfd.readouterr()
    source = {"name": "someone/tiny", "kind": "hub"}
    assert _outcome("someone/tiny") == (source | {"revision": FIRST}, 3.0)
    for revision in ("v2", SECOND, "refs/pr/7"):
        assert _outcome(f"someone/tiny@{revision}") == (source | {"revision": SECOND}, 5.0)
    for name, line in (
        ("'someone/tiny' at revision 'v9'", _outcome("someone/tiny@v9")),
        ("'someone/absent'", _outcome("someone/absent")),
    ):
        assert line.startswith(f"no model {name} here or on the hub (")
        assert "it is not in the cache, and the hub was not reached" in line
        assert "\n" not in line
    assert _outcome("not a name!").startswith("no model 'not a name!' here or on the hub (")
    assert capfd.readouterr() == ("", "")
