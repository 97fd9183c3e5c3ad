"""Records survive interruption and refuse what belongs to another run."""

import json

import pytest

from signmag_jax.evidence import InvalidInput, MissingResource, Records

CONFIGURATION = {"rates": [0.001, 0.05], "seeds": 3, "model": "a"}


def test_write_read_and_reopen(tmp_path):
    payload = {"loss": [1.0000000000000002, 0.1], "note": "é"}
    Records(tmp_path / "run", CONFIGURATION).write(7, payload)
    again = Records(tmp_path / "run", CONFIGURATION)
    assert again.read(7) == payload
    assert again.read(8) is None


def test_torn_record_counts_as_absent(tmp_path):
    records = Records(tmp_path, CONFIGURATION)
    records.write(0, [1.0, 2.0])
    path = next(tmp_path.glob("record-*"))
    whole = path.read_text()
    for cut in (0, 1, len(whole) // 2, len(whole) - 3):
        path.write_text(whole[:cut])
        assert records.read(0) is None
    path.write_text(whole)
    assert records.read(0) == [1.0, 2.0]


@pytest.mark.parametrize("change", [{"payload": [9.0]}, {"sha256": "0"}, {"schema": 3}, {"index": 1}])
def test_altered_record_counts_as_absent(tmp_path, change):
    records = Records(tmp_path, CONFIGURATION)
    records.write(0, [1.0])
    path = next(tmp_path.glob("record-*"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert records.read(0) is None


def test_other_configuration_is_refused_by_name(tmp_path):
    Records(tmp_path, CONFIGURATION)
    with pytest.raises(InvalidInput, match=r"different: model, seeds\)"):
        Records(tmp_path, CONFIGURATION | {"model": "b", "seeds": 4})


def test_record_copied_from_another_run_is_refused(tmp_path):
    first = Records(tmp_path / "one", CONFIGURATION)
    second = Records(tmp_path / "two", CONFIGURATION | {"seeds": 4})
    first.write(0, [1.0])
    (tmp_path / "two" / "record-00000000.json").write_bytes(
        (tmp_path / "one" / "record-00000000.json").read_bytes()
    )
    with pytest.raises(InvalidInput, match="written by another run"):
        second.read(0)


def test_unreadable_header_is_refused(tmp_path):
    (tmp_path / "configuration.json").write_text("{")
    with pytest.raises(InvalidInput, match="not a readable run configuration"):
        Records(tmp_path, CONFIGURATION)


def test_nan_never_reaches_a_record(tmp_path):
    records = Records(tmp_path, CONFIGURATION)
    with pytest.raises(ValueError, match="JSON compliant"):
        records.write(0, [float("nan")])
    assert list(tmp_path.glob("*record*")) == []


def test_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(MissingResource, match="cannot write to folder"):
        Records(tmp_path / "taken", CONFIGURATION)
