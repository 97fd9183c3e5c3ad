"""Loaders under thousands of numbered damages: one line or a model, soon, in little memory, no crash.

`python tests/models/fuzzed.py FOLDER FILE SEED SEED+1` repeats the damage that a failure names.
"""

import json
import subprocess
import sys
from pathlib import Path

import oracle
import pytest
import test_gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SECONDS = 5
SLACK = 8e6
"""Bytes beside twice the file: what an allocator takes at a time, and the libraries' own tables."""
DAMAGES = 2500
"""Of each file."""
SAID = {"refused", "loaded"}

HUB = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def save_rich_tokenizer(folder):
    """A tokenizer with every part that one can have, so that damages find all of them."""
    letters = {chr(code): index for index, code in enumerate(range(33, 127))}
    letters |= {"in": 94, "th": 95}
    backend = Tokenizer(models.BPE(vocab=letters, merges=[("i", "n"), ("t", "h")], unk_token="?"))
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace("--", "-")])
    split = pre_tokenizers.Split(Regex(r"\p{N}{1,3}|\s+(?!\S)"), behavior="isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            split,
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken("~", special=True, normalized=False)])
    backend.post_processor = processors.TemplateProcessing(single="~ $A", special_tokens=[("~", 93)])
    backend.save(str(folder / "tokenizer.json"))
    plain = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "~", "add_bos_token": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(plain))


def sound(folder, name):
    """A checkpoint that loads, in a folder of its own."""
    model = oracle.oracle("llama", {"num_hidden_layers": 1})
    if name.endswith(".gguf"):
        test_gguf.write(folder / name, model)
    else:
        oracle.save(model, folder)
        save_rich_tokenizer(folder)
    return folder


def fuzz(folder, name, damages):
    """The lines of `fuzzed.py`, and the exit code that its process ended with."""
    script = str(Path(__file__).with_name("fuzzed.py"))
    command = [sys.executable, script, str(folder), name, "0", str(damages)]
    with (folder / "said").open("w+") as said, (folder / "errors").open("w+") as errors:
        process = subprocess.Popen(command, stdout=said, stderr=errors)
        try:
            code = process.wait(60 + damages * 0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "no end"
    return [json.loads(line) for line in (folder / "said").read_text().splitlines()], code


@pytest.mark.slow
@pytest.mark.parametrize("name", [*HUB, "m.gguf"])
def test_no_damage_crashes_hangs_or_swells(tmp_path, name):
    size = (sound(tmp_path, name) / name).stat().st_size
    lines, code = fuzz(tmp_path, name, DAMAGES)
    errors = (tmp_path / "errors").read_text()[-2000:]
    assert code == 0, f"damage {lines[-1:]} ended the process with {code}: {errors}"
    ends = [line for line in lines if "said" in line]
    assert [line["seed"] for line in ends] == list(range(DAMAGES))
    assert [line for line in ends if line["said"] not in SAID] == []
    assert [line for line in ends if line["seconds"] > SECONDS] == []
    assert [line for line in ends if line["memory"] > 2 * size + SLACK] == []
    # The damages reach both: what is refused, and what does not matter; beside a tokenizer.json, nothing of
    # tokenizer_config.json matters.
    said = [line["said"] for line in ends]
    reached = {"loaded"} if name == "tokenizer_config.json" else SAID
    assert set(said) == reached
    assert min(said.count(end) for end in reached) > 0.01 * DAMAGES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("raise ZeroDivisionError", lambda code, ends: "ZeroDivisionError" in ends[0]["said"]),
        ("import os; os.abort()", lambda code, ends: code == -6 and not ends),
        ("import time; time.sleep(0.4)", lambda code, ends: ends[0]["seconds"] > 0.35),
        ("b'x' * 50_000_000", lambda code, ends: ends[0]["memory"] > 4e7),
    ],
)
def test_each_fault_would_be_seen(tmp_path, fault, seen):
    """The negative control: a loader that fails in this way, under the same watch."""
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fuzzed
load, models = fuzzed.models.load, []
def faulty(path):
    if models:
        {fault}
    else:
        models.append(load(path))
    return models[0]
fuzzed.models.load = faulty
fuzzed.main(fuzzed.Path({str(sound(tmp_path, "m.gguf"))!r}), "m.gguf", 0, 1)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    ends = [line for line in map(json.loads, ended.stdout.splitlines()) if "said" in line]
    assert seen(ended.returncode, ends), ended
