"""Records of measurements that were edited by hand are refused by name, in one line."""

import json
import random

import mutated
import pytest
from measure_verbs import MEASUREMENTS, ONCE, arguments, protect_arguments
from texts import write_words

from signmag_jax.cli import run

KEEPING = [name for name in MEASUREMENTS if name not in ONCE]
ROUNDS = 2


@pytest.mark.slow
@pytest.mark.parametrize("name", [*KEEPING, "protect"])
def test_edited_records_are_refused(name, tmp_path, hub_folder, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, kept = write_words(tmp_path / "text.txt"), tmp_path / "kept"
    typed = protect_arguments(hub_folder, text) if name == "protect" else arguments(name, hub_folder, text)
    command = [*typed, "--json", "--quiet", "--resume", str(kept)]
    assert run(command) == 0
    whole = capsys.readouterr().out
    files = sorted(kept.rglob("record-*.json"))
    # The first is what was chosen, where anything was.
    rng = random.Random(name)
    for path in {files[0], rng.choice(files)}:
        before = path.read_text()
        for change in (mutated.wrong_kind, mutated.wrong_shape, mutated.other_kind) * ROUNDS:
            is_whole = mutated.rewrite(path, lambda payload, change=change: change(payload, rng))
            edited = json.loads(path.read_text())["payload"]
            status, (out, err) = run(command), capsys.readouterr()
            path_is_named = f"record {int(path.stem[7:])} in {str(path.parent)!r} holds other values" in err
            refused = (status, out, err.count("\n"), path_is_named) == (2, "", 1, True)
            # Without a payload or a checksum a record counts as absent, and the piece is done again.
            assert refused if is_whole else (status, out) == (0, whole), edited
            path.write_text(before)
    assert run(command) == 0
    assert capsys.readouterr().out == whole
