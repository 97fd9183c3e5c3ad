"""Every option is judged before a file is read, a model opened or anything computed."""

import json
import shlex

import huggingface_hub
import jax
import pytest
from measure_verbs import refused

from signmag_jax import cli, models
from signmag_jax.cli import INTERRUPTED, STOPPED, UNKEPT, run

# What a measurement is given that does not name it: nothing but the option in question is wrong.
MODEL, TEXT = ("--model", "tiny"), (("--text", "text.txt"), ("--window", "16"))
LARGE = 2**63

MISTAKES = {
    "reprduce": "No such command",
    "law transverse_ratio --rte 0.1": "law transverse_ratio does not take --rte: it takes --rate",
    "law transverse": "transverse_ratio",
    "law transverse_ratio --rate 0.6": "0 < rate <= 0.5",
    "law transverse_ratio --rate a": "numbers separated by commas",
    "law transverse_ratio": "rate",
    "prove theorem_33": "theorem_3",
    "measure weight": "leverage",
    "measure leverage --rates nan": "0 < rate <= 1",
    "measure leverage --rates inf": "0 < rate <= 1",
    "measure leverage --rates 0": "0 < rate <= 1",
    "measure all-columns --rates 1.7": "0 < rate <= 1",
    "measure linear-response --rates 2": "0 < rate <= 1",
    "measure flip-energies --rate 0.7": "0 < rate <= 0.5",
    "measure trained-chain --rates 0.7": "0 < rate <= 0.5",
    "measure leverage --rates abc": "'--rates': it takes numbers separated by commas",
    "measure leverage --rates ''": "'--rates': it takes numbers separated by commas",
    "measure leverage --rates 0.1,,0.2": "'--rates': it takes numbers separated by commas",
    "measure leverage --rates 0.1,0.1": "distinct rates",
    "measure outlier-flips --rate 0.1,0.2": "takes a number, not '0.1,0.2'",
    "measure leverage --draws 1": "draws >= 2",
    "measure all-columns --draws 0": "draws >= 2",
    "measure leverage --draws 2,3": "one number or 3",
    "measure leverage --draws 2.5": "'--draws': it takes whole numbers",
    "measure metrics --draws 2,3": "takes a whole number, not '2,3'",
    "measure metrics --draws 0 --perturbation sign": "draws >= 1",
    "measure metrics --draws 1": "draws >= 2",
    "measure metrics --perturbation bend": "--perturbation is like",
    "measure linear-response --probes 1": "probes >= 2",
    "measure columns --probes 2,3": "takes a whole number, not '2,3'",
    "measure deciding-weights --probes 1": "probes >= 2",
    "measure error-response --probes 1": "probes >= 2",
    "measure sensitivity --probes 1": "probes >= 2",
    "measure sensitivity --draws 0": "draws >= 1",
    "measure sensitivity --windows 1": "--windows >= 2",
    "measure error-response --perturbation flip:0.1": "deterministic errors",
    "measure leverage --layers -1": "layers >= 0",
    "measure quantization --layers 1,1": "distinct layers",
    "measure leverage --matrices w": "matrices in",
    "measure leverage --matrices q_proj,q_proj": "distinct matrices",
    "measure quantization-report --quantizers int3": "quantizers in",
    "measure quantization-report --scales tensor,1": "distinct scales",
    "measure column-flips --columns 3": "--columns >= 5",
    "measure leverage --calibration 1": "--calibration >= 2",
    "measure leverage --calibration 0": "--calibration >= 2",
    "measure leverage --windows 7": "--windows >= 8",
    "measure quantization-report --windows 4": "--windows >= 8",
    "measure linear-response --rates 0.1 --windows 4": "--windows >= 8",
    "measure deciding-weights --windows 1": "--windows >= 2",
    "measure alpha --windows 1": "--windows >= 2",
    "measure quantization --windows 1": "--windows >= 2",
    "measure nll --windows 0": "--windows >= 1",
    "measure nll --window 1": "--window >= 2",
    "measure nll --dtype int8": "dtype in",
    "measure nll --seed -1": "--seed",
    f"measure leverage --seed {LARGE}": "--seed",
    "measure nll --rates 0.1": "does not take --rates",
    "measure columns --rates 0.1": "does not take --rates",
    "measure error-response --rates 0.1": "does not take --rates",
    "measure rotation --layers 1": "does not take --layers",
    "measure metrics --mask mask.json": "does not take --mask",
    "measure nll --plot x.svg": "does not take --plot",
    "measure nll --parquet x.parquet": "does not take --parquet",
    "measure alpha --plot text.txt/x.svg": "lies on a file",
    "measure alpha --plot folder.svg": "is a folder",
    "measure quantization-report --mask .": "is a folder",
    "measure leverage --resume text.txt": "lies on a file",
    "measure leverage --resume ''": "it is empty",
    "measure nll --model ''": "it is empty",
    "measure nll --text ''": "it is empty",
    "measure nll --device abacus": "abacus",
    "reproduce --quick --full": "--full",
    "reproduce --dtype int8": "dtype in",
    "reproduce --out text.txt": "lies on a file",
    "reproduce --out ''": "it is empty",
    "reproduce --out odd": "holds a folder named ledger.json",
    "reproduce --out page": "holds a folder named report.html",
    "plan --out text.txt/x": "lies on a file",
    "plan --out odd": "holds a folder named plan.json",
    "protect --out odd --budget 1%": "holds a folder named mask.json",
    "protect --out odd --budget 1%,2%": "holds a folder named mask-2%.json",
    "protect --unit rows": "'--unit': it takes weights or columns or matrices",
    "plan --rates 0.1": "plan does not take --rates: it takes",
    "reproduce --out done": "give --overwrite",
    "reproduce --out done --dry-run": "give --overwrite",
    "reproduce --resume text.txt/x": "lies on a file",
    "reproduce --model none --text text.txt": "--model none",
    f"reproduce --seed {LARGE}": "--seed",
    "reproduce --dry-run --dtype int8": "dtype in",
    "reproduce --dry-run --all": "--all and --dry-run exclude each other",
    "reproduce --dry-run --timings": "--timings and --dry-run exclude each other",
    "reproduce --dry-run --out text.txt/x": "lies on a file",
    "simulate blck": "block",
    "simulate block --dry-run --rate nan": "0 < rate <= 0.5",
    "simulate block --dry-run --networks 0": "networks is an integer >= 2",
    "simulate block --dry-run --standard-error nan": "0 < standard_error",
    "simulate block --dry-run --activation x": "'--activation': it takes relu or",
    "simulate block --dry-run --inputs -1": "inputs is an integer >= 1",
    "simulate depth --dry-run --seconds 0": "0 < seconds",
    "simulate block --dry-run --resume text.txt": "lies on a file",
    "simulate block --dry-run --plot x.gif": ".svg",
    "simulate block --width 99999999999": "width <= ",
    "simulate depth --depth 99999999999": "depth <= ",
    "simulate block --plot text.txt/x.svg": "lies on a file",
    "simulate --width 8": "options stand after the name",
}
ABSENT = {
    "report no-such-folder": "signmag reproduce",
    "diff a b": "signmag reproduce",
    "measure nll --text no-such-file.txt": "no-such-file.txt",
    "measure nll --model ./no-such-folder": "no-such-folder",
}
"""Files that are looked for, and not there."""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder in which a model and a text seem to lie, and a program that may touch neither."""
    (tmp_path / "text.txt").write_text(" ".join(map(str, range(1000))))
    (tmp_path / "tiny").mkdir()
    (tmp_path / "folder.svg").mkdir()
    for name in ("ledger.json", "plan.json", "mask.json", "mask-2%.json"):
        (tmp_path / "odd" / name).mkdir(parents=True)
    (tmp_path / "page" / "report.html").mkdir(parents=True)
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "ledger.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("typed", MISTAKES)
def test_nothing_is_touched_before_the_options_are_judged(workplace, monkeypatch, capsys, typed):
    def touched(*_, **__):
        raise AssertionError("work began before the options were judged")

    monkeypatch.setattr(models.text, "load", touched)
    monkeypatch.setitem(models.load.__globals__, "resolve", touched)
    monkeypatch.setattr(jax, "device_get", touched)
    before = sorted(workplace.rglob("*"))
    arguments = shlex.split(typed)
    if arguments[0] == "measure":
        reads = () if arguments[1] in ("trained-chain", "weight") else TEXT
        arguments += [word for pair in (MODEL, *reads) if pair[0] not in arguments for word in pair]
    refused(capsys, arguments, MISTAKES[typed])
    assert sorted(workplace.rglob("*")) == before


@pytest.mark.parametrize("typed", ABSENT)
def test_what_is_not_there_is_named(tmp_path, monkeypatch, capsys, typed):
    monkeypatch.chdir(tmp_path)
    refused(capsys, shlex.split(typed), ABSENT[typed])
    assert list(tmp_path.iterdir()) == []


NEEDS_THE_CONFIG = {
    "layer": (["measure", "leverage", "--layers", "0,9"], "layers in 0..2"),
    "context": (["measure", "nll", "--window", "65"], "window <= 64 tokens"),
    "length": (["measure", "nll", "--windows", "9999"], "text of at least"),
    "dry context": (["measure", "nll", "--window", "65", "--dry-run"], "window <= 64 tokens"),
    "run context": (["reproduce", "--full", "--out", "run"], "window <= 64 tokens"),
    "dry run context": (["reproduce", "--full", "--out", "run", "--dry-run"], "window <= 64 tokens"),
}


@pytest.mark.parametrize("case", NEEDS_THE_CONFIG)
def test_what_the_config_decides_is_judged_before_the_weights(
    workplace, monkeypatch, capsys, hub_folder, case
):
    monkeypatch.setattr(models.Checkpoint, "load", lambda *_: pytest.fail("the weights were read"))
    arguments, hint = NEEDS_THE_CONFIG[case]
    window = [] if {"--window", "reproduce"} & set(arguments) else ["--window", "16"]
    refused(capsys, [*arguments, *window, "--model", str(hub_folder), "--text", "text.txt"], hint)
    assert not (workplace / "run").exists()


def test_a_dry_run_reads_no_weights_and_leaves_standard_input_alone(workplace, monkeypatch, capsys):
    monkeypatch.setattr(models.Checkpoint, "load", lambda *_: pytest.fail("the weights were read"))
    monkeypatch.setattr("sys.stdin", None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: "config.json")
    for model in ([], ["--model", "someone/model"]):
        assert run(["measure", "nll", *model, "--text", "-", "--dry-run", "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_networks_without_a_flip_are_recorded_and_too_few_with_one_are_incomplete(workplace, capsys):
    # 64 weights at p = 0.01: every other network flips nothing, and JSON has no NaN for its ratio.
    arguments = ["simulate", "block", "--width", "8", "--resume", "records", "--json", "--networks"]
    assert run([*arguments, "2"]) == run([*arguments, "2"]) == 3
    err = capsys.readouterr().err
    assert err.count("1 of 2 networks have a ratio") == err.count("\n") == 2
    assert run([*arguments, "20"]) == 0
    assert 2 <= json.loads(capsys.readouterr().out)["n"] < 20


STEP = {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"}
ALONE = ("reproduce", "simulate block", "measure nll")


@pytest.mark.parametrize("typed", ALONE)
@pytest.mark.parametrize("step", [STEP, {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4"}])
def test_no_task_of_several_does_the_whole_job(workplace, monkeypatch, capsys, typed, step):
    for name, value in step.items():
        monkeypatch.setenv(name, value)
    assert run(typed.split()) == 2
    assert "each would do the whole job: start one task" in capsys.readouterr().err
    assert not (workplace / "signmag-run").exists()


def test_a_single_task_a_batch_script_and_a_dry_run_are_no_step_of_several(workplace, monkeypatch, capsys):
    def judged(**environment):
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            code = run(["simulate", "block", "--networks", "0"])
        assert code == 2
        return capsys.readouterr().err

    assert "whole job" in judged(**STEP)
    for alone in ({**STEP, "SLURM_STEP_NUM_TASKS": "1"}, {"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}, {}):
        assert "networks is an integer >= 2" in judged(**alone)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert run(["simulate", "block", "--dry-run"]) == 0


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("simulate block", UNKEPT),
        ("simulate block --resume kept", INTERRUPTED),
        ("measure nll --resume=kept", INTERRUPTED),
        ("prove", STOPPED),
    ],
)
def test_an_interruption_says_whether_records_are_kept(monkeypatch, capsys, typed, said):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_invoke", interrupted)
    assert run(typed.split()) == 130
    assert capsys.readouterr().err == f"signmag: {said}\n"
