"""Records survive interruption and refuse what belongs to another run."""

import json
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax.evidence import InvalidInput, MissingResource, Records
from signmag_jax.evidence.common_records import CommonRecords
from signmag_jax.evidence.files import sha256_of_json
from signmag_jax.evidence.records import different

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


def test_other_configuration_is_refused_by_name(tmp_path):
    Records(tmp_path, CONFIGURATION)
    with pytest.raises(InvalidInput, match=r"different: model, seeds\)"):
        Records(tmp_path, CONFIGURATION | {"model": "b", "seeds": 4})


def test_record_copied_from_another_run_is_refused(tmp_path):
    first = Records(tmp_path / "one", CONFIGURATION)
    second = Records(tmp_path / "two", CONFIGURATION | {"seeds": 4})
    first.write(0, [1.0])
    shutil.copy(record_file(tmp_path / "one", 0), record_file(tmp_path / "two", 0))
    with pytest.raises(InvalidInput, match="written by another run"):
        second.read(0)


def test_nan_never_reaches_a_record(tmp_path):
    records = Records(tmp_path, CONFIGURATION)
    with pytest.raises(ValueError, match="JSON compliant"):
        records.write(0, [float("nan")])
    assert list(tmp_path.glob("*record*")) == []


def test_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(MissingResource, match="cannot write to folder"):
        Records(tmp_path / "taken", CONFIGURATION)


PAYLOAD = [{"ratio": [2.639, 1e-300], "energy": 0.1}]


def only_record(folder):
    return next(folder.glob("record-*.json"))


def record_file(folder, index):
    return folder / f"record-{index:08d}.json"


def test_any_flipped_bit_is_seen(tmp_path):
    """What is read is what was written, or nothing: two bits of every byte, which differ between bytes."""
    records = Records(tmp_path, CONFIGURATION)
    records.write(3, PAYLOAD)
    path = only_record(tmp_path)
    whole = path.read_bytes()
    places = [(place, bit % 8) for place in range(len(whole)) for bit in (place, place + 3)]
    seen = 0
    for place, bit in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        found = records.read(3)
        assert found is None or found == PAYLOAD
        seen += found is None
    # The rest: the two white spaces of JSON, and the exponent's e or E.
    assert seen > 0.98 * len(places)


def test_a_forged_checksum_passes(tmp_path):
    """Control: the checksum is what refuses a change; it is no signature."""
    records = Records(tmp_path, CONFIGURATION)
    records.write(3, PAYLOAD)
    path = only_record(tmp_path)
    record = json.loads(path.read_text()) | {"payload": [9.0]}
    path.write_text(json.dumps(record))
    assert records.read(3) is None
    del record["sha256"]
    path.write_text(json.dumps(record | {"sha256": sha256_of_json(record)}))
    assert records.read(3) == [9.0]


@given(content=st.binary(max_size=200))
def test_no_file_is_mistaken_for_a_record(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "foreign"
    records = Records(folder, CONFIGURATION)
    record_file(folder, 0).write_bytes(content)
    assert records.read(0) is None


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "null", "[]", "7", '"text"', "{}", '{"sha256": NaN}'])
def test_strange_json_is_no_record_and_no_header(tmp_path, text):
    records = Records(tmp_path, CONFIGURATION)
    record_file(tmp_path, 0).write_text(text)
    assert records.read(0) is None
    (tmp_path / "configuration.json").write_text(text)
    with pytest.raises(InvalidInput, match="not a readable run configuration"):
        Records(tmp_path, CONFIGURATION)


@pytest.mark.parametrize("configuration", [None, [], "text", 3])
def test_a_header_without_a_configuration_is_refused(tmp_path, configuration):
    text = json.dumps({"schema": 2, "configuration": configuration})
    (tmp_path / "configuration.json").write_text(text)
    with pytest.raises(InvalidInput, match=r"not a readable|of another run"):
        Records(tmp_path, CONFIGURATION)


def test_a_header_of_another_schema_is_refused(tmp_path):
    header = {"schema": 1, "configuration": CONFIGURATION}
    (tmp_path / "configuration.json").write_text(json.dumps(header))
    with pytest.raises(InvalidInput, match="schema 1, this version writes schema 2"):
        Records(tmp_path, CONFIGURATION)


def test_a_renamed_record_is_not_taken_for_another(tmp_path):
    records = Records(tmp_path, CONFIGURATION)
    records.write(0, PAYLOAD)
    only_record(tmp_path).rename(record_file(tmp_path, 1))
    assert records.read(0) is None
    assert records.read(1) is None
    records.write(1, [1.0])
    assert records.read(1) == [1.0]


def test_a_record_replaced_by_a_folder_is_one_clear_line(tmp_path):
    records = Records(tmp_path, CONFIGURATION)
    record_file(tmp_path, 0).mkdir()
    assert records.read(0) is None
    with pytest.raises(MissingResource, match="cannot write"):
        records.write(0, PAYLOAD)
    assert list(tmp_path.glob(".*")) == []


def test_two_mixed_folders_are_refused_whichever_header_stays(tmp_path):
    one, other = (Records(tmp_path / name, CONFIGURATION | {"model": name}) for name in "ab")
    one.write(0, [1.0])
    other.write(1, [2.0])
    for path in (tmp_path / "b").glob("*"):
        shutil.copy(path, tmp_path / "a")
    with pytest.raises(InvalidInput, match="different: model"):
        Records(tmp_path / "a", CONFIGURATION | {"model": "a"})
    mixed = Records(tmp_path / "a", CONFIGURATION | {"model": "b"})
    assert mixed.read(1) == [2.0]
    with pytest.raises(InvalidInput, match="written by another run"):
        mixed.read(0)


def test_a_lost_header_is_no_licence(tmp_path):
    Records(tmp_path, CONFIGURATION).write(0, [1.0])
    (tmp_path / "configuration.json").unlink()
    with pytest.raises(InvalidInput, match="written by another run"):
        Records(tmp_path, CONFIGURATION | {"seeds": 4}).read(0)


def test_a_folder_that_disappears_is_made_again_with_its_header(tmp_path):
    folder = tmp_path / "run"
    records = Records(folder, CONFIGURATION)
    records.write(0, [1.0])
    shutil.rmtree(folder)
    assert records.read(0) is None
    records.write(1, [2.0])
    again = Records(folder, CONFIGURATION)
    assert (again.read(0), again.read(1)) == (None, [2.0])
    with pytest.raises(InvalidInput, match="another run"):
        Records(folder, CONFIGURATION | {"seeds": 4})


def test_a_folder_that_becomes_a_file_is_one_clear_line(tmp_path):
    folder = tmp_path / "run"
    records = Records(folder, CONFIGURATION)
    shutil.rmtree(folder)
    folder.write_text("mine")
    assert records.read(0) is None
    with pytest.raises(MissingResource, match="cannot write"):
        records.write(0, [1.0])
    assert folder.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_refused_at_once():
    with pytest.raises(MissingResource, match="cannot write to folder '/proc/records'"):
        Records("/proc/records", CONFIGURATION)


WRITER = """
import sys
from signmag_jax.evidence import Records
records = Records(sys.argv[1], {"a": 1})
for turn in range(150):
    for index in range(2):
        records.write(index, [index] * 2000)
        assert records.read(index) == [index] * 2000
"""


def test_two_processes_may_write_the_same_record_at_once(tmp_path):
    """A reader never sees half of one, whoever wins."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) for _ in range(2)]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "configuration.json",
        "record-00000000.json",
        "record-00000001.json",
    ]


def test_differences_are_named_by_their_path():
    one = {"a": {"x": 1, "y": [1]}, "b": 2, "c": None}
    other = {"a": {"x": 1, "y": [2]}, "b": 2.5, "d": 1}
    assert different(one, other) == {"a.y": ([1], [2]), "b": (2, 2.5), "d": (None, 1)}
    assert different(one, one) == {}


def test_what_the_first_process_has_is_what_all_get(tmp_path):
    """Here the first is the only one; `tests/cli/test_measure_devices.py` has two."""
    records = CommonRecords(tmp_path, CONFIGURATION)
    payload = {"loss": [1.0000000000000002, 0.1, None], "note": "é" * 100}
    records.write(3, payload)
    assert records.read(3) == Records(tmp_path, CONFIGURATION).read(3) == payload
    assert records.read(4) is None
    with pytest.raises(InvalidInput, match=r"different: model\)"):
        CommonRecords(tmp_path, CONFIGURATION | {"model": "b"})
    (tmp_path / "file").touch()
    with pytest.raises(MissingResource, match="cannot write"):
        CommonRecords(tmp_path / "file", CONFIGURATION)
