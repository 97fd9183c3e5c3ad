"""Linear response, the map of columns and the deciding weights by name, on a tiny model in hub format."""

import json

import numpy as np
import pytest
from texts import write_words

from signmag_jax.cli import run


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return write_words(tmp_path_factory.mktemp("text") / "text.txt")


COMMON = ["--window", "16", "--windows", "2", "--calibration", "2", "--matrices", "up_proj", "--layers", "0"]


@pytest.mark.slow
def test_the_map_of_columns_and_the_response_share_their_records(capsys, tmp_path, hub_folder, text):
    place = ["--model", str(hub_folder), "--text", str(text), *COMMON]
    kept = ["--probes", "2", "--resume", str(tmp_path / "records"), "--json"]
    assert run(["measure", "linear-response", *place, *kept]) == 0
    response = json.loads(capsys.readouterr().out)
    picture = tmp_path / "columns.svg"
    assert run(["measure", "columns", *place, *kept, "--plot", str(picture)]) == 0
    columns = json.loads(capsys.readouterr().out)
    assert picture.read_text().startswith("<svg")
    per_column = columns["slopes"]["up_proj"]["hessian"]["value"]
    assert np.sum(per_column) == pytest.approx(response["pools"]["all"]["slope"]["value"], rel=1e-5)
    assert run(["measure", "columns", *place, *kept[:4]]) == 0
    assert "resolved columns, gauss_newton" in capsys.readouterr().out
    assert run(["measure", "linear-response", *place, *kept[:4]]) == 0
    assert "predicted count-matched leverage" in capsys.readouterr().out


@pytest.mark.slow
def test_the_response_stands_beside_the_damage_at_rates_that_are_asked_for(capsys, hub_folder, text):
    place = ["--model", str(hub_folder), "--text", str(text), *COMMON, "--windows", "8", "--rates", "0.2,0.5"]
    assert run(["measure", "linear-response", *place, "--probes", "2", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    # Two arms at each rate, the same flips in both: in the larger pool they are a smaller part.
    assert [check["arm"] for check in checks] == ["outlier", "rest"] * 2
    assert checks[0]["rate"] == pytest.approx(0.2, abs=0.01)
    assert checks[1]["rate"] < checks[0]["rate"] < checks[2]["rate"]
    assert all((check["distance"] is None) == bool(check["reason"]) for check in checks)
    assert run(["measure", "linear-response", *place, "--probes", "2"]) == 0
    assert f"rest at rate {checks[1]['rate']:g}: predicted" in capsys.readouterr().out
