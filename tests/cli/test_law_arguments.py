"""Arguments of `signmag law`: every perturbation, compositions, inputs, expansions."""

import json

import numpy as np
import pytest
import typer
from measure_verbs import refused

from signmag_jax import cli, perturb, theory
from signmag_jax.cli.perturbations import parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flip:0.1", perturb.SignFlip(0.1)),
        ("ternary:twn", perturb.Ternarize.twn()),
        ("ternary:half_mean_abs:mean_abs", perturb.Ternarize.bitnet()),
        ("prune:0.5", perturb.Prune(0.5)),
        ("scale:-2", perturb.Scale(-2)),
        ("uniform:4:absmax:4096", perturb.UniformQuantize(4, "absmax", 4096)),
        ("lloyd-max:3", perturb.LloydMax(3)),
        ("flip:0.1+ternary", perturb.Compose(perturb.SignFlip(0.1), perturb.Ternarize())),
    ],
)
def test_perturbations_as_typed(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["dropout:0.1", "flip", "flip:0.1:0.2", "flip:0.1+", "prune"])
def test_what_no_perturbation_is(text):
    with pytest.raises(typer.BadParameter, match="--perturbation is like"):
        parse(text)


def run(capsys, *arguments):
    assert cli.run(["law", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_inputs_and_expansions(capsys):
    found = run(capsys, "profile_width_ratio", "--rate", "0.1", "--input", "1,0.5,2")
    # Outside of its range there is none.
    assert "expansion" not in found
    assert "expansion" in run(capsys, "profile_width_ratio", "--rate", "0.5", "--input", "1,1,2,2")
    assert found["value"] == pytest.approx(theory.profile_width_ratio(0.1, np.array([1, 0.5, 2])))
    found = run(capsys, "transverse_ratio", "--rate", "0.001")
    assert found["expansion"]["value"] == pytest.approx(found["value"], rel=1e-3)
    assert found["expansion"]["value"] != found["value"]
    found = run(capsys, "radial_fraction", "--perturbation", "flip:0.001")
    assert found["expansion"]["value"] == pytest.approx(found["value"], rel=1e-3)
    # The expansion is that of the ReLU.
    assert "expansion" not in run(
        capsys, "radial_fraction", "--perturbation", "flip:0.001", "--activation", "gelu"
    )


def test_a_list_may_come_in_pieces(capsys):
    pieces = run(capsys, "transverse_ratio", "--rate", "0.01", "--rate", "0.02,0.05")
    assert pieces == run(capsys, "transverse_ratio", "--rate", "0.01,0.02,0.05")
    assert pieces["along"] == {"rate": [0.01, 0.02, 0.05]}


@pytest.mark.parametrize("text", ["flip:0.1", "uniform:3:0.6", "lloyd-max:2", "flip:0.1+ternary:twn+scale:2"])
def test_a_perturbation_is_enclosed_as_typed(capsys, text):
    given = ("radial_fraction", "--perturbation", text, "--activation", "gelu", "--scale", "0.1")
    found = run(capsys, *given, "--digits", "25")
    assert float(found["enclosure"]["midpoint"]) == pytest.approx(found["value"], rel=1e-11)
    assert float(found["enclosure"]["radius"]) < 1e-25


def test_the_decimals_count_and_not_their_floats(capsys):
    found = run(
        capsys, "radial_fraction", "--perturbation", "flip:0.1", "--activation", "identity", "--digits", "40"
    )
    # For one matrix the radial fraction of flips is their rate.
    assert found["enclosure"]["midpoint"].rstrip("0") == "0.1"


def test_pools(capsys):
    columns = ("--alpha-squared", ".5,.1,.2,.2", "--norms-squared", "1,4,2,1", "--pool", "0,2")
    found = run(capsys, "pool_leverage", *columns)
    assert found["value"] == pytest.approx(1.5)
    found = run(capsys, "pool_leverage", *columns, "--perturbation", "flip:0.1", "--match", "energy")
    squares, norms = np.array([0.5, 0.1, 0.2, 0.2]), np.array([1.0, 4.0, 2.0, 1.0])
    pool = np.array([True, False, True, False])
    expected = theory.pool_leverage(squares, norms, pool, perturb.SignFlip(0.1), "energy")
    assert found["value"] == pytest.approx(float(expected))
    found = run(capsys, "profile_pool_leverage", "--input", "3,1,1", "--pool", "0", "--rate", "0.1")
    expected = theory.profile_pool_leverage(0.1, np.array([3.0, 1.0, 1.0]), np.array([True, False, False]))
    assert found["value"] == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--alpha-squared", "1,2", "--pool", "2"), "columns from 0 to 1, not 2"),
        (("--pool", "0"), "give these too"),
        (("--alpha-squared", "1,a", "--pool", "0"), "--alpha-squared: it takes numbers"),
        (("--alpha-squared", "1,2", "--pool", "0", "--norms-squared", "1,2,3"), "one entry a column"),
    ],
)
def test_what_no_pool_is(capsys, arguments, message):
    refused(capsys, ["law", "pool_leverage", *arguments], message)


SEVERAL = {
    "finite_width_ratio": (("--rate", "0.01"), "n", (64, 128)),
    "finite_width_saturation": ((), "n", (64, 128, 256)),
    "finite_width_depth_ratios": (("--rate", "0.01", "--depth", "3"), "n", (64, 128, 256)),
    "depth_ratios": (("--depth", "2"), "rate", (0.01, 0.02)),
    "chain_ratios": (("--depth", "2", "--chain", "renormalised"), "rate", (0.01, 0.02, 0.05)),
    "finite_rows_ratio": (("--rate", "0.01"), "rows", (64, 128)),
    "finite_rows_radial_fraction": (("--perturbation", "sign", "--rows", "64"), "outputs", (64, 128)),
    "flip_amplification": (("--alpha", "0.1"), "n", (64, 128)),
    "flip_matrix_radial_fraction": (("--rows", "64"), "rate", (0.1, 0.9)),
    "transverse_ratio": ((), "rate", (0.01, 0.02)),
}


@pytest.mark.parametrize("law", SEVERAL)
def test_every_number_may_be_several_and_comes_first_in_the_result(capsys, law):
    others, key, places = SEVERAL[law]
    found = run(capsys, law, *others, f"--{key}", ",".join(map(str, places)))
    one_by_one = [run(capsys, law, *others, f"--{key}", str(place))["value"] for place in places]
    assert np.array_equal(found["value"], one_by_one)
    assert found["along"] == {key: list(places)}
    assert found["provenance"]["arguments"][key] == list(places)
    assert cli.run(["law", law, *others, f"--{key}", ",".join(map(str, places))]) == 0
    lines = capsys.readouterr().out.splitlines()
    labels = [line.split(":")[0] for line in lines if line.startswith(f"{key} = ")]
    assert labels == [f"{key} = {place}" for place in places]


REFUSED = {
    "two axes": (("flip_amplification", "--alpha", "0.1,0.2", "--n", "64,128,256"), "--n, --alpha have"),
    "two axes of one length": (("finite_rows_ratio", "--rate", "0.1,0.2", "--rows", "8,9"), "--rate, --rows"),
    "rate and range": (("transverse_ratio", "--rate", "0.1", "--range", "0.1:0.2:3"), "--rate and --range"),
    "range too long": (("transverse_ratio", "--range", "0.1:0.5:999999999999"), "2 to 10000 points"),
    "range of one": (("transverse_ratio", "--range", "0.1:0.5:1"), "2 to 10000 points"),
    "range from 0": (("transverse_ratio", "--range", "0:0.5:4"), "START:STOP:COUNT"),
    "half a width": (("finite_width_ratio", "--rate", "0.1", "--n", "64.5"), "--n: it takes whole numbers"),
    "absurd depth": (("depth_ratios", "--rate", "0.1", "--depth", "99999999999"), "from 1 to 1000000"),
    "no depth": (("depth_ratios", "--rate", "0.1", "--depth", "0"), "from 1 to 1000000"),
    "digits of several": (("transverse_ratio", "--rate", "0.1,0.2", "--digits", "9"), "encloses one value"),
    "picture of a number": (("sign_cosine_squared", "--plot", "one.svg"), "--plot draws several"),
    "picture below a file": (("transverse_ratio", "--rate", "2", "--plot", "taken/x.svg"), "lies on a file"),
    "no law": (("--rate", "0.1"), "options stand after the name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_evaluated_is_one_line(capsys, tmp_path, monkeypatch, case):
    (tmp_path / "taken").write_text("mine")
    monkeypatch.chdir(tmp_path)
    arguments, hint = REFUSED[case]
    refused(capsys, ["law", *arguments], hint)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
