"""Which whole matrices a mask stands for, what of the mask they hold, and masks that are none."""

import dataclasses
import json
import re

import pytest
from conftest import SHAPES
from small_models import HUB

from signmag_jax.cli import run
from signmag_jax.evidence import InvalidInput
from signmag_jax.export import check_loaded, check_model, decide, read, read_mask, write

TWO = ((11, "down_proj"), (1, "q_proj"))


def test_whole_are_the_matrices_whose_cost_is_separated_from_zero_and_large(saved):
    mask = read_mask(saved())
    assert decide(mask).whole == TWO
    # Costly on average, and not separated from zero: no threshold brings it in.
    assert decide(mask, threshold=0.0).whole == TWO
    assert decide(mask, threshold=0.03).whole == TWO[:1]


def test_the_notes_say_the_rule_and_count_what_is_held(saved):
    rule, covered = decide(read_mask(saved()), threshold=0.03).notes
    assert ": 1, those of 3 measured" in rule
    assert "0.03 nat/token under ternary (scale: tensor)" in rule
    assert "1 of its 2 single weights and 1 of its 1 columns" in covered


def test_a_folder_holds_its_mask(saved):
    assert read_mask(saved().parent).matrices == read_mask(saved()).matrices


def test_of_a_later_schema_extra_fields_are_left_alone(saved):
    """Budgets and measured savings may stand beside what is read."""
    path = saved(against="flips:0.01", budget={"weights": 0.005}, criteria=[{"name": "ours"}])
    assert "under flips:0.01" in decide(read_mask(path)).notes[0]


def test_no_text_of_the_file_ends_a_comment(saved):
    path = saved(quantizer="tern\nary: {}\n\nquant_stage:")
    text = write(decide(read_mask(path)), path.parent, ["llm-compressor"])[0].read_text()
    assert sum(line.startswith("quant_stage") for line in text.splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"schema": "signmag.protect/2"}, "schema"),
        ({"matrices": [{"layer": 1, "matrix": "lm_head", "delta_nll": 1, "resolved": True}]}, "lm_head"),
        ({"matrices": [{"layer": -1, "matrix": "q_proj", "delta_nll": 1, "resolved": True}]}, "layer"),
        ({"matrices": [{"layer": 1, "matrix": "q_proj", "resolved": True}]}, "delta_nll"),
        ({"columns": {}}, "columns"),
        ({"weights": [{"layer": 0, "matrix": "q_proj", "row": 1.5, "column": 0}]}, "row"),
        ({"provenance": []}, "provenance"),
    ],
)
def test_what_breaks_the_schema_is_named(saved, changes, named):
    with pytest.raises(InvalidInput, match=named):
        read_mask(saved(**changes))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": NaN}', "\ufeff{}", '{"a": 1e999}'])
def test_what_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "mask.json"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=r"mask\.json"):
        read_mask(path)


def test_a_missing_mask_and_a_device_are_refused(tmp_path):
    for path in (tmp_path / "absent", tmp_path, tmp_path.__class__("/dev/zero")):
        with pytest.raises(InvalidInput, match="signmag protect"):
            read_mask(path)


@pytest.mark.parametrize("options", [{"threshold": -1.0}, {"threshold": float("nan")}, {"budget": "0%"}])
def test_options_out_of_range_are_refused(saved, options):
    with pytest.raises(InvalidInput, match="required"):
        decide(read_mask(saved(of=100, shapes=SHAPES)), **options)


def test_a_mask_of_which_no_matrix_is_left_is_refused(saved):
    with pytest.raises(InvalidInput, match=r"the largest is 11.*lower --threshold"):
        decide(read_mask(saved()), threshold=12.0)
    with pytest.raises(InvalidInput, match="none is apart from zero"):
        decide(read_mask(saved(matrices=[])))


def test_an_unknown_format_is_refused(decision, tmp_path):
    with pytest.raises(InvalidInput, match="ollama"):
        write(decision, tmp_path, ["ollama"])


DOWN, Q, K = (16 * SHAPES[name][0] * SHAPES[name][1] for name in ("down_proj", "q_proj", "k_proj"))


@pytest.mark.parametrize(
    ("bits", "whole"),
    [
        (K, [(1, "k_proj")]),
        # By what they cost in sum: two are 0.9, the costliest with the small one 0.8.
        (DOWN, [(1, "down_proj")]),
        (DOWN + K, [(1, "down_proj"), (1, "k_proj")]),
        (2 * DOWN, [(1, "down_proj"), (0, "down_proj")]),
        (9 * DOWN, [(1, "down_proj"), (0, "down_proj"), (1, "k_proj")]),
    ],
)
def test_as_many_whole_matrices_as_the_bits_of_the_choice_hold(budgeted, bits, whole):
    decision = decide(read_mask(budgeted(bits)))
    assert list(decision.whole) == whole
    taken = 16 * sum(SHAPES[name][0] * SHAPES[name][1] for _, name in whole)
    assert taken <= bits
    assert f"{taken:,} of {bits:,} bits" in decision.notes[0]
    assert "2 measured and 2 predicted" in decision.notes[0]
    held = (1, "down_proj") in whole
    assert f"hold {int(held)} of its 1 single weights" in decision.notes[1]


def test_the_costliest_matrix_is_named_where_the_budget_does_not_hold_it(budgeted):
    mask = read_mask(budgeted(K))
    (note,) = decide(mask).notes[2:]
    assert "layer 1 down_proj, costs 0.5 nat/token alone and is not kept: it takes 24,576 bits" in note
    # What is said to be enough is, and nothing is said where nothing is missing.
    enough = re.search(r"at least ([\d.]+%)", note)[1]
    for decision in (decide(mask, budget=enough), decide(read_mask(budgeted(DOWN)))):
        assert decision.whole[0] == (1, "down_proj")
        assert len(decision.notes) == 2


def test_no_budget_is_advised_where_the_costliest_matrix_gave_way_to_others(budgeted):
    costs = [{"layer": layer, "matrix": "k_proj", "cost": 0.3} for layer in range(3)]
    decision = decide(read_mask(budgeted(DOWN, predicted=costs)))
    assert {name for _, name in decision.whole} == {"k_proj"}
    (note,) = decision.notes[2:]
    assert "layer 1 down_proj, costs 0.5 nat/token alone and is not kept: the budget would hold it" in note
    assert "--budget" not in note


def test_within_a_budget_small_costs_count_too_and_none_does_not(budgeted):
    """A threshold that nobody asked for would end the list before the budget."""
    costs = [{"layer": a, "matrix": "k_proj", "cost": b} for a, b in ((0, 1e-3), (1, 1e-4), (2, 0.0))]
    mask = read_mask(budgeted(9 * K, matrices=[], predicted=costs))
    assert decide(mask).whole == ((0, "k_proj"), (1, "k_proj"))
    assert decide(mask, threshold=5e-4).whole == ((0, "k_proj"),)


@pytest.mark.parametrize(("error", "kept"), [(0.01, (1, "down_proj")), (0.2, (2, "q_proj"))])
def test_too_few_windows_to_tell_do_not_drop_what_was_predicted(budgeted, error, kept):
    """0 ± 0.2 was measured where 9 was predicted: 0.6 at most; 0 ± 0.01 says that it is harmless."""
    measured = [(1, "down_proj", 0.5, 0.1), (2, "q_proj", 0.0, error)]
    rows = [
        {"layer": a, "matrix": b, "delta_nll": c, "standard_error": d, "resolved": c > 3 * d}
        for a, b, c, d in measured
    ]
    decision = decide(read_mask(budgeted(max(DOWN, Q), matrices=rows)))
    assert decision.whole[0] == kept
    assert "or the predicted one stands" in decision.notes[0]


def test_a_budget_that_is_typed_goes_before_that_of_the_file(budgeted):
    mask = read_mask(budgeted(K))
    # 1.6% of 100,000 weights: one down_proj of 1,536.
    assert decide(mask, budget="1.6%").whole == ((1, "down_proj"),)
    assert decide(mask, budget="0.4b").whole == ((1, "down_proj"), (1, "k_proj"))
    assert decide(mask, threshold=0.35, budget="100%").whole == ((1, "down_proj"), (0, "down_proj"))
    with pytest.raises(InvalidInput, match=r"holds no whole matrix .* at least 0\.52%"):
        decide(read_mask(budgeted(K - 1)))
    with pytest.raises(InvalidInput, match=r"takes 8,192: protect with a larger one"):
        decide(read_mask(budgeted(K - 1, of=0)))
    with pytest.raises(InvalidInput, match="says how many weights"):
        decide(read_mask(budgeted(K, of=0)), budget="1%")


def test_whole_matrices_are_the_choice_itself_and_take_all_of_its_bits(budgeted):
    whole = [{"layer": 0, "matrix": "k_proj"}]
    mask = read_mask(budgeted(K, whole=whole, budget={"unit": "matrices", "bits": K}))
    assert decide(mask).whole == ((0, "k_proj"),)


def test_a_matrix_without_a_finite_loss_is_kept_first(budgeted):
    broken = [{"layer": 3, "matrix": "k_proj", "delta_nll": None, "resolved": False, "not_finite": 2}]
    assert decide(read_mask(budgeted(K, matrices=broken))).whole == ((3, "k_proj"),)


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": [{"layer": 0, "matrix": "k_proj", "row": 16, "column": 0}]},
        {"columns": [{"layer": 0, "matrix": "k_proj", "column": 32}]},
        {"kept": [{"layer": 0, "matrix": "k_proj", "places": [3, 512]}]},
        {"kept": [{"layer": 0, "matrix": "k_proj", "shape": [32, 16], "places": [3]}]},
        {"kept": [{"layer": 0, "matrix": "k_proj", "places": [3, 3]}]},
    ],
)
def test_a_file_that_contradicts_itself_is_refused(saved, changes):
    with pytest.raises(InvalidInput, match="k_proj"):
        read_mask(saved(shapes=SHAPES, **changes))


@pytest.mark.parametrize("part", ["matrices", "whole", "predicted", "kept"])
def test_a_file_that_names_a_matrix_twice_is_refused(budgeted, part):
    """Its bits would count twice, or one of two costs would be taken."""
    one = {"layer": 1, "matrix": "k_proj", "delta_nll": 0.1, "resolved": True, "cost": 0.1, "places": [3]}
    assert decide(read_mask(budgeted(K, **{part: [one]}))).whole
    with pytest.raises(InvalidInput, match=f"a matrix twice in '{part}'"):
        read_mask(budgeted(K, **{part: [one, one]}))


def test_a_budget_needs_the_shapes_of_what_it_is_spent_on(budgeted):
    with pytest.raises(InvalidInput, match="no shape of k_proj"):
        decide(read_mask(budgeted(K, shapes={"q_proj": [32, 32], "down_proj": [32, 48]})))


def test_a_file_of_other_layers_or_shapes_is_refused_by_the_config_alone(saved, budgeted, plain, tmp_path):
    config = dataclasses.replace(HUB, layers=12)
    check_model(read_mask(budgeted(K)), config)
    with pytest.raises(InvalidInput, match="layers below 11"):
        check_model(read_mask(saved()), dataclasses.replace(config, layers=11))
    turned = SHAPES | {"down_proj": [48, 32]}
    with pytest.raises(InvalidInput, match=r"down_proj of 32 × 48 weights.* received '48 × 32'"):
        check_model(read_mask(budgeted(K, shapes=turned)), config)
    planned = [{"layer": 0, "matrix": "k_proj", "shape": [32, 32], "width": "4"}]
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"schema": "signmag.plan/1", "matrices": planned}))
    with pytest.raises(InvalidInput, match="k_proj of 16 × 32 weights"):
        check_model(read(path), config)


@pytest.mark.parametrize(("measured", "given"), [("llama", "phi3"), ("phi3", "qwen2")])
def test_a_family_that_stores_its_matrices_otherwise_is_refused(budgeted, measured, given):
    mask = read_mask(budgeted(K, provenance={"family": measured}))
    config = dataclasses.replace(HUB, layers=12, family=measured)
    check_model(mask, config)
    with pytest.raises(InvalidInput, match=f"a model of {measured}, as was measured.* received '{given}'"):
        check_model(mask, dataclasses.replace(config, family=given))


def test_the_command_checks_a_model_without_reading_its_weights(saved, hub_folder, tmp_path, capsys):
    call = ["export", str(saved()), "--format", "llama.cpp", "--out", str(tmp_path / "out")]
    assert run([*call, "--quiet"]) == 0
    assert run([*call, "--model", str(hub_folder)]) == 2
    assert "layers below 3" in capsys.readouterr().err
    assert run([*call, "--text", "-"]) == 2
    assert "makes a difference only with --format imatrix" in capsys.readouterr().err


def test_another_model_is_refused(saved, smollm):
    check_loaded(read_mask(saved()), smollm)
    with pytest.raises(InvalidInput, match="--model"):
        check_loaded(read_mask(saved(provenance={"model": {"files": {"a": "0" * 64}}})), smollm)
    path = saved()
    deep = json.loads(path.read_text())
    deep["matrices"][0]["layer"] = 30
    with pytest.raises(InvalidInput, match="30"):
        check_model(read_mask(saved(**deep)), smollm.config)
