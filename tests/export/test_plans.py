"""A plan as the tools' options: the nearest types, their sizes, and plans that are none."""

import ctypes
import importlib.util
import json
import re
from pathlib import Path

import gguf
import numpy as np
import pytest
import yaml
from torchao.core.config import config_from_dict

from signmag_jax.cli import run
from signmag_jax.evidence import InvalidInput
from signmag_jax.export import OF_PLANS, decide, read, read_plan, write
from signmag_jax.export.llama_cpp import BITS_OF, TERNARY_TYPES


@pytest.fixture
def plan(tmp_path):
    """Every width, on rows of whole blocks of 256, of 32, and of neither."""

    def written(inputs=512, **changes):
        widths = ["ternary", "2", "3", "4", "5", "6", "7", "8"]
        matrices = [
            {"layer": layer, "matrix": "down_proj", "shape": [64, inputs], "width": width}
            for layer, width in enumerate(widths)
        ]
        path = tmp_path / "plan.json"
        path.write_text(json.dumps({"schema": "signmag.plan/1", "matrices": matrices} | changes))
        return path

    return written


def texts(path, folder, name):
    return {one.name: one.read_text() for one in write(read_plan(path).decision(), folder, [name])}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (512, ["q2_k", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q6_k", "q8_0"]),
        (576, ["q4_0", "q4_0", "q4_0", "q4_0", "q5_0", "q5_1", "q8_0", "q8_0"]),
        (40, ["f16"] * 8),
    ],
)
def test_llama_cpp_gets_the_nearest_types_whose_blocks_divide_a_row(plan, tmp_path, inputs, expected):
    found = texts(plan(inputs), tmp_path, "llama.cpp")
    pairs = dict(token.split("=") for token in found["tensor-types.txt"].split())
    assert pairs == {rf"^blk\.{i}\.ffn_down\.weight$": kind for i, kind in enumerate(expected)}
    mean = sum(BITS_OF[kind] for kind in expected) / len(expected)
    assert f"{mean:.3f} bits a weight" in found["tensor-types.note.txt"]


def test_a_type_of_three_values_is_offered_and_rows_without_whole_blocks_are_named(plan, saved, tmp_path):
    def types(inputs, ternary):
        written = write(read_plan(plan(inputs)).decision(ternary), tmp_path / "out", ["llama.cpp"])
        return [one.read_text() for one in written]

    for kind in TERNARY_TYPES:
        typed, note = types(512, kind)
        assert typed.split()[0].endswith(f"={kind}")
        assert f"Ternary widths get {kind}" in note
        assert "Rows of" not in note
        # No blocks of 256: the nearest that fits.
        assert types(576, kind)[0].split()[0].endswith("=q4_0")
    assert "Rows of 576 hold no whole blocks of 256 (down_proj)" in types(576, "")[1]
    whole = [{"layer": 0, "matrix": "o_proj"}, {"layer": 0, "matrix": "up_proj"}]
    mask = saved(whole=whole, shapes={"o_proj": [8, 40], "up_proj": [8, 96]})
    kept, note = (one.read_text() for one in write(decide(read(mask)), tmp_path / "mask", ["llama.cpp"]))
    assert kept.split()[:2] == [r"^blk\.0\.attn_output\.weight$=f16", r"^blk\.0\.ffn_up\.weight$=q8_0"]
    assert "Rows of 40" in note
    assert "Rows of 96" in note


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain["matrices"].append(plain["matrices"][0]), "names a matrix twice"),
        (lambda plain: plain["matrices"][3].update(shape=[512, 64]), "two shapes, in layer 3"),
        (
            lambda plain: plain.update(provenance={"layers": [0, 8], "matrices": ["down_proj"]}),
            "lacks layer 8 down_proj",
        ),
        (lambda plain: plain.update(provenance={"layers": 5}), r"\$\.provenance\.layers"),
        (lambda plain: plain.update(provenance={"layers": [[1]]}), r"\$\.provenance\.layers"),
        (lambda plain: plain.update(provenance={"matrices": {"down_proj": 1}}), r"\$\.provenance\.matrices"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(plan, change, message):
    path = plan()
    plain = json.loads(path.read_text())
    change(plain)
    path.write_text(json.dumps(plain))
    with pytest.raises(InvalidInput, match=message):
        read_plan(path)


def test_the_bits_of_the_types_are_those_of_gguf():
    for name, bits in BITS_OF.items():
        count, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
        assert bits == 8 * size / count


def error_of(kind, weights):
    """‖w − w'‖²/‖w‖² by ggml's own quantiser."""
    found = importlib.util.find_spec("xllamacpp")
    ggml = ctypes.CDLL(next(map(str, Path(found.origin).parent.glob("*.so"))))
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    rows, columns = weights.shape
    count, size = gguf.GGML_QUANT_SIZES[kind]
    stored = np.zeros((rows, columns // count * size), np.uint8)
    ggml.ggml_quantize_chunk(
        int(kind),
        weights.ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
        stored.ctypes.data_as(ctypes.c_void_p),
        *(ctypes.c_int64(each) for each in (0, rows, columns)),
        None,
    )
    return float(((weights - gguf.dequantize(stored, kind)) ** 2).sum() / (weights**2).sum())


def test_tq2_0_is_no_type_for_weights_that_were_not_trained_ternary():
    """Why ternary widths get q2_k: by ggml itself, on Gaussian weights."""
    weights = np.random.default_rng(0).normal(size=(32, 512)).astype(np.float32)
    assert error_of(gguf.GGMLQuantizationType.TQ2_0, weights) > 0.4
    assert error_of(gguf.GGMLQuantizationType.Q2_K, weights) < 0.15


def test_gptqmodel_gets_bits_that_it_packs(plan, tmp_path):
    config = json.loads(texts(plan(), tmp_path, "gptqmodel")["gptqmodel.json"])["config"]
    found = {
        layer: options["bits"]
        for one, options in config["dynamic"].items()
        for layer in range(8)
        if re.match(one.removeprefix("+:"), f"model.layers.{layer}.mlp.down_proj")
    }
    assert list(found.values()) == [2, 2, 3, 4, 4, 8, 8, 8]


def test_llm_compressor_gets_a_group_for_each_width(plan, tmp_path):
    recipe = yaml.safe_load(texts(plan(), tmp_path, "llm-compressor")["llm-compressor.yaml"])
    groups = recipe["quant_stage"]["quant_modifiers"]["QuantizationModifier"]["config_groups"]
    bits = {name: each["weights"]["num_bits"] for each in groups.values() for name in each["targets"]}
    assert [bits[f"model.layers.{layer}.mlp.down_proj"] for layer in range(8)] == [2, 2, 3, 4, 5, 6, 7, 8]


def test_torchao_gets_integers_of_each_width(plan, tmp_path):
    config = json.loads(texts(plan(), tmp_path, "torchao")["torchao.json"])["config"]
    table = config["quant_type"]["default"]["_data"]["fqn_to_config"]
    kinds = [table[f"model.layers.{i}.mlp.down_proj"]["_data"]["weight_dtype"]["_data"] for i in range(8)]
    assert kinds == ["int2", "int2", "int3", "int4", "int5", "int6", "int7", "int8"]
    assert len(config_from_dict(config["quant_type"]["default"]).fqn_to_config) == 8


def test_a_list_of_modules_knows_no_widths(plan, tmp_path):
    with pytest.raises(InvalidInput, match="know no widths"):
        write(read_plan(plan()).decision(), tmp_path, ["transformers"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schema": "signmag.plan/2"}, "schema"),
        ({"matrices": []}, "matrices"),
        ({"matrices": [{"layer": 0, "matrix": "q_proj", "shape": [4, 0], "width": "4"}]}, "shape"),
        ({"matrices": [{"layer": 0, "matrix": "q_proj", "shape": [4, 4], "width": "9"}]}, "width"),
        ({"matrices": [{"layer": 0, "matrix": "head", "shape": [4, 4], "width": "4"}]}, "matrix"),
    ],
)
def test_what_is_no_plan_is_refused(plan, changes, named):
    with pytest.raises(InvalidInput, match=named):
        read_plan(plan(**changes))


def test_a_folder_or_a_file_of_either_kind_is_read(plan, saved):
    mask = saved()
    assert len(read(mask).matrices) == 3
    path = plan()
    # One folder for both verbs: neither goes before the other.
    with pytest.raises(InvalidInput, match=r"give one, plan\.json, mask\.json"):
        read(path.parent)
    mask.unlink()
    assert len(read(path).planned) == len(read(path.parent).planned) == 8


def test_a_folder_of_several_masks_asks_which(saved):
    path = saved()
    for budget in ("0.1%", "2%"):
        (path.parent / f"mask-{budget}.json").write_text(path.read_text())
    # A run with one budget before one with several leaves all three.
    with pytest.raises(InvalidInput, match=r"give one, mask\.json, mask-0\.1%\.json, mask-2%\.json"):
        read(path.parent)
    path.unlink()
    with pytest.raises(InvalidInput, match=r"give one, mask-0\.1%\.json, mask-2%\.json"):
        read(path.parent)


def test_what_a_mask_protects_wholly_stays_whole_and_all_its_weights_count(saved):
    kept = [
        {"layer": 11, "matrix": "down_proj", "shape": [32, 48], "places": [1, 2, 3]},
        {"layer": 5, "matrix": "o_proj", "shape": [32, 32], "places": list(range(7))},
    ]
    whole = [{"layer": 5, "matrix": "o_proj"}]
    decision = decide(read(saved(kept=kept, whole=whole)), threshold=0.03)
    assert decision.whole == ((5, "o_proj"), (11, "down_proj"))
    assert "2, 1 that the mask names, and those " in decision.notes[0]
    assert "10 of its 10 single weights" in decision.notes[1]
    several = [*whole, {"layer": 2, "matrix": "k_proj"}]
    assert "2, 2 that the mask names" in decide(read(saved(whole=several)), threshold=20.0).notes[0]


def test_parts_of_a_fused_matrix_are_refused_and_whole_ones_are_not(saved, plan, tmp_path):
    """Phi-3 stores q, k, v as one matrix, and gate and up: by no name would a tool find them."""
    provenance = {"family": "phi3"}
    with pytest.raises(InvalidInput, match=r"layers\.1\.self_attn\.q_proj, which phi3 stores as a part"):
        write(decide(read(saved(provenance=provenance))), tmp_path / "out", ["llama.cpp"])
    assert not (tmp_path / "out").exists()
    assert decide(read(saved(provenance=provenance)), threshold=0.03).whole == ((11, "down_proj"),)
    assert write(decide(read(saved(provenance=provenance)), threshold=0.03), tmp_path / "out")
    # Plans of down_proj, as here, are exported too.
    assert write(read(plan(provenance=provenance)).decision(), tmp_path / "out", ["llama.cpp"])


def test_the_command_exports_a_plan(plan, tmp_path, capsys):
    out = tmp_path / "out"
    call = ["export", str(plan()), "--format", "llama.cpp", "--out", str(out), "--json"]
    assert run(call) == 0
    assert json.loads(capsys.readouterr().out)["whole_matrices"] == []
    assert run(["export", str(plan()), "--format", "transformers", "--out", str(out)]) == 2
    assert "know no widths" in capsys.readouterr().err
    for option in ("--threshold", "--budget"):
        assert run([*call, option, "1"]) == 2
        assert f"{option} makes a difference only with a mask" in capsys.readouterr().err
    assert "transformers" not in OF_PLANS
