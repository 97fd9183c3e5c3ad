"""What is fetched of a repository, what is said before, what is refused: the hub is a folder here."""

import json
import shutil
import types

import huggingface_hub
import oracle
import pytest
from huggingface_hub.utils import filter_repo_objects

from signmag_jax import models
from signmag_jax.cli import run
from signmag_jax.evidence import InvalidInput, MissingResource
from signmag_jax.models import hub
from signmag_jax.models.resolve import resolve

COMMIT = "a" * 40
TEXT = ["config.json", "tokenizer.json", "tokenizer_config.json"]
SHARDS = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]


def chosen(*names, file=None, shards=SHARDS, tmp_path=None):
    found = hub.Listing(COMMIT, dict.fromkeys([*TEXT, *names], 1000))
    index = None
    if tmp_path is not None:
        index = tmp_path / "index.json"
        index.write_text(json.dumps({"weight_map": {name: name for name in shards}}))
    return set(hub.chosen("a/b", found, file, lambda: index))


def test_weights_are_fetched_once(tmp_path):
    single = {*TEXT, "model.safetensors"}
    again = ["consolidated.safetensors", "original/consolidated.00.pth", "pytorch_model.bin", "README.md"]
    again += [
        "checkpoint-500/model.safetensors",
        "onnx/model.onnx",
        "onnx/config.json",
        "model.fp16.safetensors",
    ]
    assert chosen("model.safetensors", *again, *SHARDS, hub.INDEX) == single
    spread = {*TEXT, hub.INDEX, *SHARDS}
    assert chosen(hub.INDEX, *SHARDS, *again, tmp_path=tmp_path) == spread
    odd = ["part-a.safetensors", "part-b.safetensors"]
    assert chosen(hub.INDEX, *odd, *again, shards=odd, tmp_path=tmp_path) == {*TEXT, hub.INDEX, *odd}
    # Where the hub does not list its files, the patterns are as strict.
    every = [*single, *spread, *again, "checkpoint-500/config.json", "original/tokenizer.model"]
    assert set(filter_repo_objects(every, allow_patterns=[*hub.PATTERNS])) == single | spread


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], r"is an adapter \(LoRA\).*merge it"),
        (
            ["X-Q4_K_M.gguf", "X-Q8_0.gguf"],
            r"GGUF files: choose one by --file \(X-Q4_K_M.gguf, 0\.00 MB; X-Q8",
        ),
        (["pytorch_model.bin", "training_args.bin"], r"as pickle \(pytorch_model.bin.*never opened"),
        (["consolidated.safetensors"], r"another layout \(consolidated.safetensors"),
        (["checkpoint-1/model.safetensors"], r"another layout \(checkpoint-1/model"),
        (["README.md"], "holds no weights"),
    ],
)
def test_what_a_repository_holds_instead_is_named_in_one_line(names, line):
    with pytest.raises(MissingResource, match=line) as caught:
        chosen(*names)
    assert "\n" not in str(caught.value)


def test_weights_without_a_description_are_refused():
    with pytest.raises(MissingResource, match=r"weights but no config\.json"):
        hub.chosen("a/b", hub.Listing(COMMIT, {"model.safetensors": 5}), None)


def test_one_file_of_a_gguf_repository_is_fetched_with_its_parts():
    parts = {f"X/Q8-0000{n}-of-00003.gguf" for n in (1, 2, 3)}
    assert chosen("X-Q4.gguf", *parts, file="X-Q4.gguf") == {"X-Q4.gguf"}
    assert chosen("X-Q4.gguf", *parts, file="X/Q8-00002-of-00003.gguf") == parts
    with pytest.raises(MissingResource, match=r"no GGUF file 'Y.gguf': give --file one of X-Q4.gguf"):
        chosen("X-Q4.gguf", file="Y.gguf")
    with pytest.raises(MissingResource, match="Q8-00003-of-00003"):
        chosen(*sorted(parts)[:2], file=sorted(parts)[0])
    with pytest.raises(MissingResource, match="leave --file out"):
        chosen("model.safetensors", file="model.safetensors")
    with pytest.raises(InvalidInput, match="N-of-M"):
        hub.parts_of("x-00001-of-00000.gguf")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A folder that stands for a/b on the hub; what was fetched lies in a snapshot beside it."""
    there, snapshot = tmp_path / "there", tmp_path / "cache" / COMMIT
    there.mkdir()
    snapshot.mkdir(parents=True)
    fetched = []

    def info(_, name, *, revision, files_metadata):
        assert (name, files_metadata) == ("a/b", True)
        files = [path for path in there.rglob("*") if path.is_file()]
        siblings = [
            types.SimpleNamespace(rfilename=str(path.relative_to(there)), size=path.stat().st_size)
            for path in files
        ]
        return types.SimpleNamespace(sha=COMMIT, siblings=siblings)

    def download(name, *, revision, allow_patterns, tqdm_class):
        listed = info(None, name, revision=revision, files_metadata=True).siblings
        for file in filter_repo_objects([each.rfilename for each in listed], allow_patterns=allow_patterns):
            fetched.append(file)
            shutil.copy(there / file, snapshot / file)
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda name, file, revision: str(there / file))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return there, fetched


def test_a_model_is_loaded_from_no_more_files_than_it_needs_and_their_size_is_said_before(
    repository, capsys, monkeypatch
):
    there, fetched = repository
    oracle.save(oracle.oracle("llama", {}), there, max_shard_size="20KB")
    shutil.copy(next(there.glob("model-*")), there / "consolidated.safetensors")
    said = []
    monkeypatch.setattr(hub, "tell", lambda text: said.append((text, list(fetched))))
    report = models.load("a/b").report
    assert report.source == {"name": "a/b", "kind": "hub", "revision": COMMIT}
    assert "consolidated.safetensors" not in fetched
    assert sum(name.endswith(".safetensors") for name in fetched) > 2
    size = sum((there / name).stat().st_size for name in fetched)
    assert said == [(f"a/b at {COMMIT[:12]}: {len(fetched)} files to fetch, {size / 1e6:.2f} MB", [])]
    # A dry run says the same and fetches nothing.
    fetched.clear()
    assert run(["measure", "nll", "--model", "a/b", "--dry-run"]) == 0
    assert fetched == []
    assert said[1] == said[0]


def test_what_the_disk_cannot_hold_is_refused_before_it_is_fetched(repository, monkeypatch):
    there, fetched = repository
    oracle.save(oracle.oracle("llama", {}), there)
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=10_000))
    with pytest.raises(MissingResource, match=r"takes 0\.\d\d MB and 0\.01 MB are free"):
        models.load("a/b")
    assert fetched == []


def test_a_gguf_file_of_a_repository_or_folder_is_opened_by_its_name(repository, tmp_path):
    there, fetched = repository
    for name in ("one.gguf", "two.gguf"):
        (there / name).write_bytes(b"GGUF")
    with pytest.raises(MissingResource, match=r"choose one by --file \(one\.gguf"):
        resolve("a/b")
    found = resolve("a/b", file="two.gguf")
    assert fetched == ["two.gguf"]
    assert found.path.name == "two.gguf"
    assert found.origin == {"name": "a/b", "kind": "hub", "revision": COMMIT, "file": "two.gguf"}
    assert resolve(there, file="one.gguf").path == there / "one.gguf"
    with pytest.raises(MissingResource, match="no GGUF file"):
        resolve(there, file="three.gguf")
    with pytest.raises(InvalidInput, match="a file of a folder or of a hub repository"):
        resolve(there / "one.gguf", file="one.gguf")
    with pytest.raises(InvalidInput, match="a file with the name of a hub repository"):
        resolve(None, file="one.gguf")
