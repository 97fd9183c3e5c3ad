"""Which whole matrices a mask stands for, what of the mask they hold, and masks that are none."""

import json

import pytest

from signmag_jax.evidence import InvalidInput
from signmag_jax.export import check_model, read_mask, write

TWO = ((11, "down_proj"), (1, "q_proj"))


def test_whole_are_the_matrices_whose_cost_is_separated_from_zero_and_large(saved):
    mask = read_mask(saved())
    assert mask.decision().whole == TWO
    # Costly on average, and not separated from zero: no threshold brings it in.
    assert mask.decision(threshold=0.0).whole == TWO
    assert mask.decision(threshold=0.03).whole == TWO[:1]
    assert mask.decision(most=1).whole == TWO[:1]


def test_the_notes_say_the_rule_and_count_what_is_held(saved):
    rule, covered = read_mask(saved()).decision(most=1).notes
    assert ": 1, those of 3 measured" in rule
    assert "0.01 nat/token under ternary (scale: tensor)" in rule
    assert "at most 1" in rule
    assert "1 of its 2 single weights and 1 of its 1 columns" in covered


def test_a_folder_holds_its_mask(saved):
    assert read_mask(saved().parent).costs == read_mask(saved()).costs


def test_of_a_later_schema_extra_fields_are_left_alone(saved):
    """Budgets and measured savings may stand beside what is read."""
    path = saved(against="flips:0.01", budget={"weights": 0.005}, criteria=[{"name": "ours"}])
    assert "under flips:0.01" in read_mask(path).decision().notes[0]


def test_no_text_of_the_file_ends_a_comment(saved):
    path = saved(quantizer="tern\nary: {}\n\nquant_stage:")
    text = write(read_mask(path).decision(), path.parent, ["llm-compressor"])[0].read_text()
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


@pytest.mark.parametrize("options", [{"threshold": -1.0}, {"threshold": float("nan")}, {"most": 0}])
def test_options_out_of_range_are_refused(saved, options):
    with pytest.raises(InvalidInput, match="required"):
        read_mask(saved()).decision(**options)


def test_a_mask_of_which_no_matrix_is_left_is_refused(saved):
    with pytest.raises(InvalidInput, match=r"the largest is 11.*lower --threshold"):
        read_mask(saved()).decision(threshold=12.0)
    with pytest.raises(InvalidInput, match="none is apart from zero"):
        read_mask(saved(matrices=[])).decision()


def test_an_unknown_format_is_refused(decision, tmp_path):
    with pytest.raises(InvalidInput, match="ollama"):
        write(decision, tmp_path, ["ollama"])


def test_another_model_is_refused(saved, smollm):
    check_model(read_mask(saved()), smollm)
    with pytest.raises(InvalidInput, match="--model"):
        check_model(read_mask(saved(provenance={"model": {"files": {"a": "0" * 64}}})), smollm)
    path = saved()
    deep = json.loads(path.read_text())
    deep["matrices"][0]["layer"] = 30
    with pytest.raises(InvalidInput, match="30"):
        check_model(read_mask(saved(**deep)), smollm)
