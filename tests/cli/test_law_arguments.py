"""Arguments of `signmag law`: every perturbation, compositions, inputs, expansions."""

import json

import numpy as np
import pytest
import typer

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
    assert found["value"] == pytest.approx(theory.profile_width_ratio(0.1, np.array([1, 0.5, 2])))
    found = run(capsys, "transverse_ratio", "--rate", "0.001")
    assert found["expansion"]["value"] == pytest.approx(found["value"], rel=1e-3)
    assert found["expansion"]["value"] != found["value"]


def test_pools(capsys):
    columns = ("--alpha-squared", ".5,.1,.2,.2", "--norms-squared", "1,4,2,1", "--pool", "0,2")
    found = run(capsys, "pool_leverage", *columns)
    assert found["value"] == pytest.approx(1.5)
    found = run(capsys, "pool_leverage", *columns, "--perturbation", "flip:0.1", "--matching", "energy")
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
        (("--alpha-squared", "1,a", "--pool", "0"), "--alpha-squared takes numbers"),
        (("--alpha-squared", "1,2", "--pool", "0", "--norms-squared", "1,2,3"), "one entry a column"),
    ],
)
def test_what_no_pool_is(capsys, arguments, message):
    assert cli.run(["law", "pool_leverage", *arguments]) == 2
    assert message in capsys.readouterr().err
