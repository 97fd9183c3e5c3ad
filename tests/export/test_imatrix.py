"""An imatrix as llama.cpp has it: by `transformers`, `gguf` and ggml's quantiser; files that are none."""

import ctypes
import dataclasses
import importlib.util
import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
import transformers

from signmag_jax import measure, models
from signmag_jax.cli import run
from signmag_jax.evidence import InvalidInput, MissingResource
from signmag_jax.export import check_loaded, read_mask, write_imatrix
from signmag_jax.models import MATRICES, read_imatrix
from signmag_jax.models.imatrix import ImportanceMatrix
from signmag_jax.models.names import layer_tensor

WINDOWS = np.random.default_rng(5).integers(3, 97, (3, 16)).astype(np.int32)


@pytest.fixture(scope="module")
def small(hub_folder):
    return models.load(hub_folder)


@pytest.fixture(scope="module")
def importance(small):
    return measure.importance(small, WINDOWS, source={"text": "numbers"})


def test_it_is_the_mean_square_of_what_transformers_gives_each_layer(hub_folder, importance):
    oracle = transformers.AutoModelForCausalLM.from_pretrained(hub_folder, dtype=torch.float32)
    seen = {}
    for name, module in oracle.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0]}))
    with torch.no_grad():
        oracle(torch.as_tensor(WINDOWS, dtype=torch.long))
    for (layer, name), squares in importance.squares.items():
        inputs = seen[layer_tensor(name, layer, "hub").removesuffix(".weight")].double().numpy()
        expected = (inputs**2).mean(axis=(0, 1))
        np.testing.assert_allclose(squares, expected, rtol=2e-4)
        # Control: means of |x| are another thing.
        assert not np.allclose(squares, np.abs(inputs).mean(axis=(0, 1)) ** 2, rtol=0.05)
    assert len(importance.squares) == 3 * len(MATRICES)


def test_gguf_reads_the_keys_and_tensors_of_llama_imatrix(importance, tmp_path):
    reader = gguf.GGUFReader(write_imatrix(importance, tmp_path))
    keys = {name: field.contents() for name, field in reader.fields.items() if "." in name}
    assert keys["general.type"] == "imatrix"
    assert keys["imatrix.datasets"] == ["numbers"]
    assert (keys["imatrix.chunk_count"], keys["imatrix.chunk_size"]) == (3, 16)
    assert "general.architecture" not in keys
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    sums, counts = tensors["blk.1.ffn_down.weight.in_sum2"], tensors["blk.1.ffn_down.weight.counts"]
    assert (sums.shape.tolist(), counts.shape.tolist()) == ([48, 1], [1, 1])
    assert {tensor.tensor_type for tensor in reader.tensors} == {gguf.GGMLQuantizationType.F32}
    assert counts.data.item() == WINDOWS.size
    np.testing.assert_allclose(
        sums.data[0] / counts.data.item(), importance.squares[1, "down_proj"], rtol=1e-6
    )


def test_what_is_written_is_read(importance, small, tmp_path):
    found = read_imatrix(write_imatrix(importance, tmp_path))
    found.check(small.config)
    assert found.tokens == importance.tokens
    assert (found.datasets, found.chunks, found.chunk_tokens) == (("numbers",), 3, 16)
    for at, squares in importance.squares.items():
        np.testing.assert_allclose(found.squares[at], squares, rtol=1e-6)


def weighed_error(weights, importance, given):
    """Σ x_j² (w − w')² after ggml's own Q4_0, which weighs errors by `given`."""
    found = importlib.util.find_spec("xllamacpp")
    ggml = ctypes.CDLL(next(map(str, Path(found.origin).parent.glob("*.so"))))
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    kind = gguf.GGMLQuantizationType.Q4_0
    rows, columns = weights.shape
    stored = np.zeros((rows, columns // 32 * gguf.GGML_QUANT_SIZES[kind][1]), np.uint8)
    pointer = ctypes.POINTER(ctypes.c_float)
    weigh = None if given is None else given.astype(np.float32).ctypes.data_as(pointer)
    size = ggml.ggml_quantize_chunk(
        int(kind),
        weights.ctypes.data_as(pointer),
        stored.ctypes.data_as(ctypes.c_void_p),
        *(ctypes.c_int64(each) for each in (0, rows, columns)),
        weigh,
    )
    assert size == stored.size
    return float((importance * (weights - gguf.dequantize(stored, kind)) ** 2).sum())


def test_ggml_quantises_better_where_inputs_are_large(importance, tmp_path):
    """The numbers that llama-quantize takes from the file lower the error that they weigh; others do not."""
    read = read_imatrix(write_imatrix(importance, tmp_path)).squares[1, "q_proj"]
    # Inputs as unequal as trained ones.
    loud = read * np.geomspace(1, 1e4, len(read))
    weights = np.random.default_rng(1).normal(size=(256, len(read))).astype(np.float32)
    with_it = weighed_error(weights, loud, loud)
    assert with_it < 0.9 * weighed_error(weights, loud, None)
    assert with_it < 0.9 * weighed_error(weights, loud, loud[::-1].copy())


def changed(importance, tmp_path, alter):
    """The file with some tensors or keys changed by `alter(keys, tensors)`."""
    reader = gguf.GGUFReader(write_imatrix(importance, tmp_path))
    keys = {name: field for name, field in reader.fields.items() if "." in name and "GGUF" not in name}
    texts = {"general.type": "imatrix"}
    tensors = {tensor.name: np.array(tensor.data, np.float32) for tensor in reader.tensors}
    assert keys
    alter(texts, tensors)
    path = tmp_path / "changed.gguf"
    writer = gguf.GGUFWriter(path, texts.pop("architecture", ""))
    for name, value in texts.items():
        writer.add_string(name, value)
    for name, data in tensors.items():
        writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


SUM, COUNT = "blk.0.attn_q.weight.in_sum2", "blk.0.attn_q.weight.counts"


@pytest.mark.parametrize(
    ("alter", "named"),
    [
        (lambda keys, _: keys.update({"general.type": "model"}), "general.type"),
        (lambda keys, _: keys.clear(), "general.type"),
        (lambda _, tensors: tensors.pop(COUNT), "counts"),
        (lambda _, tensors: tensors.update({COUNT: np.full((4, 1), 9, np.float32)}), "4 experts"),
        (lambda _, tensors: tensors.update({COUNT: np.full((1, 1), -1, np.float32)}), "tokens"),
        (lambda _, tensors: tensors[SUM].__setitem__(0, -1), "in_sum2"),
        (lambda _, tensors: tensors[SUM].__setitem__(0, np.nan), "in_sum2"),
        (lambda _, tensors: [tensors.pop(name) for name in list(tensors) if "blk" in name], "in_sum2"),
    ],
)
def test_what_is_no_imatrix_is_refused(importance, tmp_path, alter, named):
    def altered(keys, tensors):
        tensors["other"] = np.ones(1, np.float32)
        alter(keys, tensors)

    with pytest.raises(InvalidInput, match=named):
        read_imatrix(changed(importance, tmp_path, altered))


def test_tensors_of_no_matrix_and_unseen_ones_are_left_out(importance, small, tmp_path):
    def alter(keys, tensors):
        keys["architecture"] = "llama"
        tensors["output.weight.in_sum2"] = np.ones((1, 32), np.float32)
        tensors["output.weight.counts"] = np.ones((1, 1), np.float32)
        tensors[COUNT] = np.zeros((1, 1), np.float32)

    found = read_imatrix(changed(importance, tmp_path, alter))
    assert set(found.squares) == set(importance.squares) - {(0, "q_proj")}
    with pytest.raises(InvalidInput, match=r"blk\.0\.attn_q"):
        found.check(small.config)


def test_of_another_model_or_a_dat_file_it_is_refused(importance, smollm, tmp_path):
    with pytest.raises(InvalidInput, match="576"):
        importance.check(smollm.config)
    old = tmp_path / "imatrix.dat"
    old.write_bytes(b"\x01\x00\x00\x00" * 64)
    with pytest.raises(InvalidInput, match="GGUF"):
        read_imatrix(old)
    whole = write_imatrix(importance, tmp_path).read_bytes()
    old.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((InvalidInput, MissingResource)):
        read_imatrix(old)


def test_an_imatrix_of_a_model_with_fused_matrices_is_refused(small, saved):
    """llama.cpp would look for the inputs of attn_qkv."""
    source = read_mask(saved(matrices=[], columns=[], weights=[]))
    check_loaded(source, small)
    fused = small.replace(config=dataclasses.replace(small.config, family="phi3"))
    with pytest.raises(InvalidInput, match="q_proj, which phi3 stores as a part of another"):
        check_loaded(source, fused)


def test_sums_beyond_float32_are_refused(tmp_path):
    large = ImportanceMatrix({(0, "q_proj"): np.full(4, 1e38)}, {(0, "q_proj"): 100})
    with pytest.raises(InvalidInput, match="sums of squares below"):
        write_imatrix(large, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_writes_every_format(saved, hub_folder, tmp_path, capsys):
    shallow = [{"layer": 1, "matrix": "q_proj", "delta_nll": 1.0, "standard_error": 0.1, "resolved": True}]
    text = tmp_path / "text.txt"
    text.write_text("some words that say nothing at all " * 40)
    options = ["--model", str(hub_folder), "--text", str(text), "--window", "16", "--windows", "2", "--json"]
    mask = saved(matrices=shallow, columns=[], weights=[])
    assert run(["export", str(mask), "--out", str(tmp_path / "out"), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["whole_matrices"] == [{"layer": 1, "matrix": "q_proj"}]
    assert sorted(Path(name).name for name in found["files"]) == sorted(
        path.name for path in (tmp_path / "out").iterdir()
    )
    assert len(read_imatrix(tmp_path / "out/imatrix.gguf").squares) == 3 * len(MATRICES)


@pytest.fixture
def words(tmp_path):
    """Options of an imatrix of the tests' model."""
    text = tmp_path / "text.txt"
    text.write_text("some words that say nothing at all " * 40)
    return ["--text", str(text), "--window", "16", "--windows", "2", "--out", str(tmp_path / "out")]


def test_a_budget_that_holds_no_whole_matrix_leaves_the_imatrix(
    budgeted, hub_folder, words, tmp_path, capsys
):
    """The same mask with bits for one matrix, and with one bit less."""
    cost = [{"layer": 1, "matrix": "k_proj", "cost": 0.3}]
    own = {"matrices": [], "predicted": cost, "weights": []}
    smallest = 16 * 16 * 32
    call = ["export", str(budgeted(smallest - 1, **own)), "--model", str(hub_folder), *words]
    assert run([*call, "--quiet"]) == 0
    said = capsys.readouterr()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["imatrix.gguf"]
    assert "Not written: files for llama.cpp, transformers" in said.err
    assert "8,191 bits holds no whole matrix" in said.err
    assert "--budget, at least 0.52%" in said.err
    assert run([*call, "--json", "--dry-run"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == ["imatrix.gguf"]
    # What was asked for by name and cannot be had is a mistake.
    for asked in (["--format", "llama.cpp", *words[-2:]], ["--budget", "0.5%"], ["--threshold", "0.2"]):
        start = call[:2] if "--format" in asked else call
        assert run([*start, *asked]) == 2
        assert "holds no whole matrix" in capsys.readouterr().err
    budgeted(smallest, **own)
    assert run([*call, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 7
    # The first file of types would be taken for this mask's.
    budgeted(smallest - 1, **own)
    assert run(call) == 2
    assert "choose another folder" in capsys.readouterr().err


def test_the_command_needs_no_model_for_a_list(saved, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["export", str(saved()), "--format", "gptqmodel", "--out", str(out), "--quiet"]) == 0
    assert [path.name for path in out.iterdir()] == ["gptqmodel.json"]
    assert capsys.readouterr().err == ""


def test_a_folder_in_the_way_is_named_before_a_model_is_looked_for(saved, tmp_path, capsys):
    (tmp_path / "imatrix.gguf").mkdir()
    assert run(["export", str(saved()), "--out", str(tmp_path), "--model", str(tmp_path / "absent")]) == 2
    assert "holds a folder named imatrix.gguf" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--format", "ollama"], "llama.cpp or imatrix"),
        (["--threshold", "99"], "lower --threshold"),
        (["--windows", "1"], "--windows >= 2"),
        (["--out", "/dev/null/x"], "--out"),
        (["--model", ".", "--file", "absent.gguf"], "leave --file out"),
        (["--format", "llama.cpp", "--model", "."], "holds no config.json"),
        (["--format", "llama.cpp", "--text", "-"], "--text makes a difference only with --format imatrix"),
    ],
)
def test_a_mistake_is_one_line(saved, tmp_path, capsys, options, named):
    assert run(["export", str(saved()), "--out", str(tmp_path / "out"), *options]) == 2
    said = capsys.readouterr()
    assert named in said.err
    assert (said.err.count("\n"), said.out) == (1, "")
    assert not (tmp_path / "out").exists()


def test_an_imatrix_needs_no_matrix_of_the_mask(saved, hub_folder, tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("some words that say nothing at all " * 40)
    options = ["--model", str(hub_folder), "--text", str(text), "--window", "16", "--windows", "2", "--quiet"]
    nothing = saved(matrices=[], columns=[], weights=[])
    assert run(["export", str(nothing), "--format", "imatrix", "--out", str(tmp_path / "out"), *options]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["imatrix.gguf"]
