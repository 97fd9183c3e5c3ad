"""What foreign libraries remark on a user's files stays unsaid; what stops them is said once, in one line."""

import json
import logging
import os
import shutil
import subprocess
import sys

import pytest

from signmag_jax import models
from signmag_jax.cli import run
from signmag_jax.evidence import InvalidInput
from signmag_jax.models.foreign import heard, reason


class PanicException(BaseException):
    """As pyo3 names what it raises for a panic in Rust: no Exception."""


NOISY = """
import logging, os, sys, threading, warnings
from signmag_jax.models.foreign import heard

logging.basicConfig(format="%(message)s")

def speak(who):
    print(who, "prints")
    os.write(2, f"{who} writes\\n".encode())
    logging.getLogger("mine").error(f"{who} logs")
    logging.getLogger("transformers.models").error(f"{who} lets a library log")
    warnings.warn(f"{who} warns", stacklevel=1)

with heard() as remarks:
    logging.getLogger("transformers.models").error("a tokenizer\\n  known to be wrong")
    logging.getLogger("gguf.reader").warning("a key twice")
    logging.getLogger("gguf.reader").info("nothing")
    warnings.warn("deprecated", stacklevel=1)
    other = threading.Thread(target=speak, args=("other",))
    other.start()
    other.join()
print(remarks)
speak("after")
"""


def test_a_librarys_remarks_are_kept_and_nobody_else_is_silenced():
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", NOISY], capture_output=True, text=True, check=True
    )
    remarks = ["a tokenizer known to be wrong", "a key twice", "deprecated"]
    assert done.stdout.splitlines() == ["other prints", str(remarks), "after prints"]
    for who in ("other", "after"):
        for what in ("writes", "logs", "lets a library log", "warns"):
            assert f"{who} {what}" in done.stderr
    assert not any(remark in done.stderr for remark in remarks)


def test_a_library_that_is_imported_meanwhile_is_heard_and_not_shown(capsys):
    log = logging.getLogger("safetensors")
    with heard() as remarks:
        own = logging.StreamHandler()
        log.addHandler(own)
        log.warning("odd")
    assert (remarks, capsys.readouterr().err) == (["odd"], "")
    log.warning("later")
    log.removeHandler(own)
    assert (capsys.readouterr().err, own.filters) == ("later\n", [])


def test_inner_remarks_are_the_inner_listeners():
    log = logging.getLogger("tokenizers")
    with heard() as outer:
        log.warning("first")
        with heard() as inner:
            log.warning("second")
        log.warning("third")
    assert (outer, inner) == (["first", "third"], ["second"])
    assert not log.handlers


def test_a_warning_about_a_tokenizer_is_a_note_of_the_model(hub_folder, monkeypatch):
    import transformers

    load = transformers.AutoTokenizer.from_pretrained

    def warns(*arguments, **options):
        logging.getLogger("transformers.tokenization").warning("its ids are wrong")
        return load(*arguments, **options)

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", warns)
    assert "its ids are wrong" in models.load(hub_folder).report.notes
    monkeypatch.undo()
    assert "its ids are wrong" not in models.load(hub_folder).report.notes


@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, SystemExit])
def test_errors_pass_and_leave_nothing_changed(capfd, raised):
    with pytest.raises(raised), heard():
        raise raised
    os.write(1, b"heard")
    assert capfd.readouterr().out == "heard"


def test_a_panic_becomes_an_error():
    with pytest.raises(RuntimeError, match="chunk size"), heard():
        raise PanicException("chunk size must be non-zero")


def test_reasons_are_one_line():
    assert reason(ValueError("two\nlines  here")) == "two lines here"
    assert reason(ValueError()) == "ValueError"
    assert len(reason(ValueError("x" * 999))) == 200


@pytest.fixture
def folder(hub_folder, tmp_path, monkeypatch):
    """A copy that a test may damage, and a text beside it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("abc" * 500)
    return shutil.copytree(hub_folder, tmp_path / "model")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def measured(capfd):
    code = run(["measure", "nll", "--model", "model", "--text", "text.txt", "--window", "16"])
    out, err = capfd.readouterr()
    return code, out, err


TOKENIZERS = {
    # These three panic: as the file is read, as a first word is tried, as the text is encoded.
    "charsmap": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "chunks of nothing": {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
    "template": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [],
            "special_tokens": {},
        }
    },
    "no unknown token": {"model": {"type": "BPE", "vocab": {"a": 0}, "unk_token": "<?>", "merges": []}},
    "no words": {"model": {"type": "WordLevel", "vocab": {}, "unk_token": "<?>"}},
    "empty": {
        "model": {"type": "BPE", "vocab": {}, "merges": []},
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": ["x", 5],
            "cls": ["y", 7],
            "trim_offsets": True,
            "add_prefix_space": True,
        },
    },
}


@pytest.mark.parametrize("damage", TOKENIZERS)
def test_a_damaged_tokenizer_is_one_line(folder, capfd, damage):
    edit(folder / "tokenizer.json", **TOKENIZERS[damage])
    code, out, err = measured(capfd)
    # Rust prints its panics itself, before they can be caught.
    *panic, last = err.splitlines()
    assert (code, out) == (2, ""), err
    assert last.startswith("signmag: ")
    assert not panic or "panicked at" in err
    assert "Traceback" not in err


def test_a_strange_config_is_one_line_or_none(folder, capfd):
    edit(folder / "config.json", pad_token_id=12345)
    code, out, err = measured(capfd)
    assert (code, err) == (0, "")
    assert "perplexity" in out
    edit(folder / "config.json", vocab_size=-1)
    code, out, err = measured(capfd)
    assert (code, out, err.count("\n")) == (2, "", 1), err


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_parameters": {"rope_type": "default", "rope_theta": float("inf")}},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": float("inf")}},
        {"rms_norm_eps": float("inf")},
    ],
)
def test_an_infinite_config_is_refused(folder, changes):
    edit(folder / "config.json", **changes)
    with pytest.raises(InvalidInput, match=r"infin|finite"):
        models.load(folder)


@pytest.mark.parametrize("name", ["~no-such-user/model", "a" * 5000, "./" + "a" * 5000])
def test_impossible_paths_are_one_line(capfd, name):
    for option in ("--model", "--text"):
        assert run(["measure", "nll", option, name]) == 2
        out, err = capfd.readouterr()
        assert (out, err.count("\n")) == ("", 1)
