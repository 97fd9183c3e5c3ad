"""Texts and windows."""

import hashlib
import io
import sys
import types
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax.evidence import InvalidInput, MissingResource
from signmag_jax.models import text


def test_the_default_text_is_one_text_with_its_licence_whatever_python_reads_it(monkeypatch):
    first = text.load()
    assert first.sha256 == hashlib.sha256(first.content.encode()).hexdigest() == text.DEFAULT_SHA256
    assert "conditional expression" in first.content
    assert "PSF" in first.source
    carried = resources.files("signmag_jax.models") / "default_text"
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in (carried / "LICENSE.txt").read_text("utf-8")
    topics = types.SimpleNamespace(topics={"another": "Python's words"})
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", topics)
    assert text.load() == first


@pytest.mark.skipif(sys.version_info[:3] != (3, 11, 7), reason="the text is that of Python 3.11.7")
def test_the_default_text_is_that_of_the_python_that_it_names():
    from pydoc_data.topics import topics

    assert text.load().content == "\n\n".join(topics[name].strip() for name in sorted(topics))


def test_a_damaged_default_text_is_no_text(monkeypatch, tmp_path):
    (tmp_path / "default_text").mkdir()
    (tmp_path / "default_text" / "topics.txt").write_text("something else")
    monkeypatch.setattr(text.resources, "files", lambda package: tmp_path)
    with pytest.raises(MissingResource, match="is damaged"):
        text.load()


def test_file_and_standard_input_give_the_same_text(tmp_path, monkeypatch):
    path = tmp_path / "t.txt"
    path.write_bytes("naïve — text\r\n".encode())
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=io.BytesIO(path.read_bytes())))
    by_path, by_stream = text.load(path), text.load("-")
    assert by_path.content == by_stream.content == "naïve — text\r\n"
    assert by_path.sha256 == by_stream.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_closed_standard_input_is_named(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(
        MissingResource, match="text - is standard input, which is closed: pipe a text into it"
    ):
        text.load("-")


def test_windows_are_consecutive_and_disjoint():
    tokens = np.arange(100, dtype=np.int32)
    calibration = text.windows(tokens, 7, 3)
    evaluation = text.windows(tokens, 7, 4, skip=3)
    assert calibration.shape == (3, 7)
    assert np.array_equal(np.concatenate([calibration.ravel(), evaluation.ravel()]), np.arange(49))
    assert text.windows(tokens, 50, 2).shape == (2, 50)


def test_a_window_that_repeats_one_of_the_first_is_passed_over():
    new = np.arange(100, 160, dtype=np.int32)
    first, rest = new[:20], new[20:]
    whole, half, less = first[:10], first[5:10], first[5:9]
    repeated = [
        whole,
        np.r_[[1, 2, 3], half, [4, 5]],
        rest[:10],
        np.r_[less, [1, 2, 3, 4, 5, 6]],
        rest[10:20],
    ]
    tokens = np.concatenate([first, *repeated]).astype(np.int32)
    chosen, scored = text.divided(tokens, 10, 2, 3)
    assert np.array_equal(chosen.ravel(), first)
    assert np.array_equal(scored, repeated[2:])
    assert list(text.repeats(chosen, np.stack(repeated))) == [True, True, False, False, False]
    with pytest.raises(
        InvalidInput, match=r"4 windows of 10 tokens that repeat none of the first 2.*received 3"
    ):
        text.divided(tokens, 10, 2, 4)


@given(st.integers(0, 4), st.integers(1, 4), st.integers(2, 9))
def test_windows_of_a_text_that_repeats_nothing_are_the_next_ones(calibration, evaluation, window):
    tokens = np.arange(100, dtype=np.int32)
    found = text.divided(tokens, window, calibration, evaluation)
    expected = text.windows(tokens, window, calibration + evaluation)
    assert [len(each) for each in found] == [calibration, evaluation]
    assert np.array_equal(np.concatenate(found), expected)


def test_too_short_a_text_says_how_many_tokens_it_has_and_needs():
    with pytest.raises(InvalidInput, match=r"at least 60 tokens \(6 windows of 10\).*received 59"):
        text.windows(np.zeros(59, np.int32), 10, 4, skip=2)
    for window, count, skip in ((1, 1, 0), (4, 0, 0), (4, 1, -1)):
        with pytest.raises(InvalidInput, match="window >= 2, count >= 1, skip >= 0"):
            text.windows(np.zeros(59, np.int32), window, count, skip)


def test_unreadable_texts_are_named(tmp_path, monkeypatch):
    with pytest.raises(MissingResource, match=r"cannot read text.*absent\.txt.*No such file"):
        text.load(tmp_path / "absent.txt")
    with pytest.raises(MissingResource, match="cannot read text"):
        text.load(tmp_path)
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(InvalidInput, match="text not empty"):
        text.load(tmp_path / "empty")
    (tmp_path / "latin").write_bytes(b"caf\xe9")
    with pytest.raises(InvalidInput, match=r"UTF-8.*byte 3"):
        text.load(tmp_path / "latin")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingResource, match=r"pip install 'signmag_jax\[hub\]'"):
        text.load("wikitext-2")


def test_wikitext_joins_the_rows_of_the_test_split(monkeypatch):
    asked = []

    def load_dataset(*names, split):
        asked.append((*names, split))
        return [{"text": " = Title = \n"}, {"text": ""}, {"text": " Body . \n"}]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    assert text.load("wikitext-2").content == " = Title = \n Body . \n"
    assert asked == [("Salesforce/wikitext", "wikitext-2-v1", "test")]


def test_a_device_is_no_text():
    with pytest.raises(MissingResource, match="is a device"):
        text.load("/dev/zero")
