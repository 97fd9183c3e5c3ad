"""`signmag protect` from the command line: what it writes, and what it refuses."""

import json

import pytest
from measure_verbs import refused
from texts import write_words

from signmag_jax.cli import run


@pytest.mark.slow
def test_masks_numbers_and_a_picture(tmp_path, monkeypatch, capsys, hub_folder):
    monkeypatch.chdir(tmp_path)
    text = write_words(tmp_path / "text.txt")
    reading = ("--model", str(hub_folder), "--text", str(text), "--window", "16", "--calibration", "2")
    typed = ["protect", *reading, "--budget", "1%,10%", "--compare", "random,awq", "--resume", "records"]
    assert run([*typed, "--json", "--quiet"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "signmag-protect/protect.json").read_text())
    assert (tmp_path / "signmag-protect/damage.svg").read_text().startswith("<svg")
    for typed_budget in ("1%", "10%"):
        mask = json.loads((tmp_path / f"signmag-protect/mask-{typed_budget}.json").read_text())
        kept = sum(len(each["places"]) for each in mask["kept"])
        assert kept == mask["budget"]["weights"] == round(mask["budget"]["share"] * mask["budget"]["of"])
    one = [*typed[:-6], "--budget", "5%", "--compare", "size", "--against", "flips:0.1", "--out", "one"]
    assert run(one) == 0
    assert "5%, least damage: " in capsys.readouterr().out
    assert (tmp_path / "one/mask.json").exists()


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--budget", "0"), "above 0"),
        (("--budget", "101%"), "at most 100%"),
        (("--budget", "much"), "budget is"),
        (("--budget", "0.5%,0.005"), "distinct budgets"),
        (("--against", "int4"), "against is one of"),
        (("--against", "flips:0"), "0 < RATE <= 1"),
        (("--against", "flips:0.1", "--scale", "row"), "no scale for flips"),
        (("--scale", "0"), "distinct scales"),
        (("--against", "q4", "--scale", "0"), "distinct scales"),
        (("--batch", "0"), "batch >= 1"),
        (("--compare", "luck"), "distinct criteria"),
        (("--unit", "rows"), "weights"),
        (("--windows", "4"), "--windows >= 8"),
        (("--draws", "1"), "draws >= 2"),
        (("--matrices", "w"), "matrices in"),
    ],
)
def test_mistakes_are_one_line(capsys, options, hint):
    refused(capsys, ["protect", *options], hint)


def test_a_dry_run_states_cost_and_memory(capsys):
    assert run(["protect", "--dry-run", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["forward_passes_of_2048_tokens"] > 30
    # Weights, predicted costs, scores of one criterion and masks: 135 million of each.
    assert 2 < plain["peak_memory_gib"] < 4
    assert run(["protect", "--dry-run", "--json", "--compare", "random", "--budget", "1%"]) == 0
    assert json.loads(capsys.readouterr().out)["forward_passes_of_2048_tokens"] < 22
