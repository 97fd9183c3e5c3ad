"""`signmag simulate` in the hands of someone who gets it wrong."""

import json

import pytest

from signmag_jax import simulate
from signmag_jax.cli import run
from signmag_jax.evidence.files import sha256_of_json

SIZES = ["--width", "16", "--inputs", "8", "--networks", "3"]
BLOCK = ["block", *SIZES, "--rate", "0.2"]


@pytest.fixture
def call(capsys):
    def command(*arguments):
        code = run(["simulate", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return command


MISTAKES = [
    (["--width", "1"], "`width is an integer >= "),
    (["--networks", "-1"], "`networks is an integer >= 2` is required, received -1"),
    (["--networks", "9", "--standard-error", "0.1"], "`networks or standard_error, not both`"),
    (["--standard-error", "0.1", "--max-networks", "8"], "`max_networks >= 64 with a standard error`"),
    (["--networks", "9", "--max-networks", "8"], "`networks <= max_networks`"),
    (["--seconds", "nan"], "`0 < seconds` is required, received nan"),
    (["--dtype", "float16"], "'--dtype': it takes float32 or float64, not 'float16'"),
    (["--inputs", "0"], "`inputs is an integer >= "),
    (["--device", "abacus"], "cpu or gpu or tpu or auto, not 'abacus'"),
]
RATES = [
    ("0", "`0 < rate <= 0.5` is required, received 0.0"),
    ("1", "`0 < rate <= 0.5` is required, received 1.0"),
    ("nan", "`0 < rate <= 0.5` is required, received nan"),
    ("0.1,-0.1", "`0 < rate <= 0.5`"),
    ("many", "'--rate': it takes numbers separated by commas, not 'many'"),
    ("0.1,,0.2", "'--rate': it takes numbers separated by commas"),
]
OWN = {
    "depth": [(["--depth", "0"], "`depth is an integer >= 1` is required, received 0")],
    "hidden": [(["--hidden", "1"], "`hidden is an integer >= ")],
    "rate": [(["--rate", rate], message) for rate, message in RATES],
    "alpha": [(["--alpha", "1"], "alpha"), (["--alpha", "nan"], "received nan")],
    "spread": [(["--spread", "-1"], "`0 < spread` is required, received -1.0")],
    "fraction": [(["--fraction", "1"], "`0 < fraction < 1` is required, received 1.0")],
}


@pytest.mark.parametrize("name", simulate.EXPERIMENTS)
def test_every_mistake_is_one_line_with_exit_code_2(call, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    taken, mistakes = simulate.experiment(name).arguments, list(MISTAKES)
    for option, own in OWN.items():
        refused = [([f"--{option}", "1"], f"{name} does not take --{option}: it takes ")]
        mistakes += own if option in taken else refused
    for arguments, message in mistakes:
        code, out, err = call(name, *arguments, "--resume", "folder", "--plot", "picture.svg")
        assert (code, out, err.count("\n")) == (2, "", 1), arguments
        assert err.startswith("signmag: ")
        assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_knows_what_memory_a_wide_network_takes(call):
    """4,267 MiB were measured at width 8,192 (the README), some 250 of them the program's own."""

    def memory(*arguments):
        code, out, _ = call("block", "--width", "8192", "--dry-run", "--json", *arguments)
        assert code == 0
        return json.loads(out)["memory_mib"]

    assert 0.9 * 4000 < memory() < 1.1 * 4000
    assert memory("--dtype", "float64") == 2 * memory()
    assert memory("--second-layer", "explicit") > 1.5 * memory()


def test_a_target_out_of_reach_names_what_it_needs_and_keeps_its_records(call, tmp_path):
    target = ["--standard-error", "1e-5", "--max-networks", "100", "--resume", tmp_path]
    code, out, err = call("block", "--width=16", "--inputs=8", "--rate=0.3", *target)
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "needs about " in err
    assert "max_networks is 100; reached " in err
    kept = {path: path.read_bytes() for path in tmp_path.glob("record-*.json")}
    assert kept
    more = ["--networks", "70", "--resume", tmp_path, "--json"]
    code, out, _ = call("block", "--width=16", "--inputs=8", "--rate=0.3", *more)
    assert (code, json.loads(out)["n"]) == (0, 70)
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_a_time_is_labelled(call):
    code, out, err = call("block", "--width=16", "--inputs=8", "--rate=0.3", "--seconds=0.01", "--json")
    assert code == 0
    assert json.loads(out)["provenance"]["stopped_by"] == "time (not reproducible)"
    assert err == "Stopped by time (not reproducible).\n"
    code, out, err = call(*BLOCK, "--json")  # control
    assert json.loads(out)["provenance"]["stopped_by"] == "target"
    assert err == ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    assert run(["simulate", *BLOCK, "--quiet", "--resume", str(place)]) == 0
    return place


HEADERS = {
    "torn": (lambda text: text[:50], "is not a readable run configuration: resume from another folder"),
    "another version": (lambda text: text.replace('"jax": "', '"jax": "9'), "(different: versions.jax)"),
}


@pytest.mark.parametrize("broken", HEADERS)
def test_the_header_of_a_folder_is_read_with_suspicion(call, folder, broken):
    change, message = HEADERS[broken]
    path = folder / "configuration.json"
    text = path.read_text()
    path.write_text(change(text))
    try:
        code, out, err = call(*BLOCK, "--resume", folder)
    finally:
        path.write_text(text)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_the_folder_of_another_experiment_or_a_file_is_refused(call, folder, tmp_path):
    code, _, err = call("v0", *SIZES, "--rate", "0.2", "--resume", folder)
    assert code == 2
    assert "(different: arguments.difference, arguments.second_layer)" in err
    file = tmp_path / "file"
    file.write_text("mine")
    for place in (file, file / "inside"):
        code, _, err = call(*BLOCK, "--resume", place)
        assert (code, err.count("\n")) == (2, 1)
        assert "lies on a file" in err
    assert file.read_text() == "mine"


def signed(record, **changes):
    record = {name: value for name, value in {**record, **changes}.items() if name != "sha256"}
    return json.dumps(record | {"sha256": sha256_of_json(record)})


BROKEN = {
    "torn": lambda record: json.dumps(record)[:99],
    "altered": lambda record: json.dumps(record | {"payload": record["payload"][:2]}),
    "renamed": lambda record: signed(record, index=1),
}
FOREIGN = {
    "another run": lambda record: signed(record, configuration="0" * 64),
    "a number": lambda record: signed(record, payload=3),
    "no rows": lambda record: signed(record, payload=[1, 2, 3]),
    "other names": lambda record: signed(record, payload=[{"other": 1.0}] * 3),
    "another shape": lambda record: signed(
        record, payload=[r | {"ratio": [1, 2]} for r in record["payload"]]
    ),
}


@pytest.mark.parametrize("change", {**BROKEN, **FOREIGN})
def test_a_record_is_redone_or_refused_by_name(call, folder, change):
    path = folder / "record-00000000.json"
    text, whole = path.read_text(), call(*BLOCK, "--json")
    path.write_text({**BROKEN, **FOREIGN}[change](json.loads(text)))
    try:
        found = call(*BLOCK, "--json", "--resume", folder)
        after = path.read_text()
    finally:
        path.write_text(text)
    if change in BROKEN:
        assert found == whole
        assert after == text
        return
    code, out, err = found
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "record" in err
    assert "another folder" in err
    assert after != text


SUFFIXES = {"svg": b"<svg xml", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-1.4"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_is_written_beside_pure_json(call, tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    code, out, err = call(*BLOCK, "--plot", path, "--json")
    assert code == 0
    assert json.loads(out)["experiment"] == "block"
    assert err == f"Written: {path}\n"
    assert path.read_bytes()[:8] == SUFFIXES[suffix]


def test_a_picture_shows_the_chain_of_every_rate(call, tmp_path):
    path = tmp_path / "picture.svg"
    code, _, _ = call("depth", *SIZES, "--rate", "0.2,0.4", "--depth", "2", "--plot", path, "--quiet")
    assert code == 0
    assert path.read_text().count("<!-- rate 0.") == 2


def test_a_picture_that_cannot_be_is_refused_before_the_work(call, tmp_path):
    for name, message in (("picture.bmp", ".svg, .png or .pdf"), ("taken/picture.svg", "lies on a file")):
        (tmp_path / "taken").write_text("mine")
        code, out, err = call(*BLOCK, "--plot", tmp_path / name)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_a_picture_shows_the_law_of_the_plain_experiment_and_of_no_other():
    from signmag_jax import theory
    from signmag_jax.cli import simulate
    from signmag_jax.simulate import EXPERIMENTS

    flip = EXPERIMENTS["single_flip"]
    law, name = simulate._law("single_flip", flip, {"width": 64}, [0.26])
    assert law == [float(theory.flip_amplification(0.26, 64))]
    assert name == "law at width 64"
    for other in ("single_flip", "quantizer"):
        assert simulate._law(other, flip, {"width": 64, "activation": "silu"}, [0.26]) == (None, "")
    assert set(simulate.LAWS) <= set(EXPERIMENTS)
