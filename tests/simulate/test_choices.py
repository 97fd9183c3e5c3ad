"""Arguments that are one of a few names: a wrong one is a clear line that lists them, as the help does."""

import subprocess
import sys
from typing import get_args

import pytest

from signmag_jax.cli import run
from signmag_jax.simulate import ACTIVATIONS
from signmag_jax.simulate.gaussian import ActivationName

CALLS = {
    "block(8, 0.1, activation='tanhh')": "`activation in ('relu', ",
    "block(8, 0.1, second_layer='V7')": "`second_layer in ('integrated', 'explicit', 'none')`",
    "block(8, 0.1, difference='both')": "`difference in ",
    "block(8, 0.1, dtype='float16')": "`dtype in ('float32', 'float64')` is required, received 'float16'",
    "block(8, 0.1, antipodal='yes')": "`antipodal is True or False` is required, received 'yes'",
    "crossings(16, 0.1, match='none')": "`match in ('realised', 'expected')` is required, received 'none'",
    "depth(8, 0.1, 2, layers='last')": "`layers in ('all', 'first')`",
    "depth(8, 0.1, 2, scale='half')": "`scale in ",
    "depth(8, 0.1, 2, residual=1)": "`residual is True or False`",
    "proposition_1(8, 0.1, magnitude='both')": "`magnitude in ",
    "quantizer(8, granularity='group')": "`granularity in ",
    "column_pool(8, 0.1, match='energy')": "`match in ",
    "column_pool(8, 0.1, profile='cauchy')": "received 'cauchy': choose one of lognormal, student",
}


def test_in_python():
    """In a process of its own: here the types of arguments are checked before the functions see them."""
    program = f"""
from signmag_jax.evidence import InvalidInput
from signmag_jax.simulate import *
for call in {list(CALLS)}:
    try:
        eval(call)
    except InvalidInput as error:
        print(error)
"""
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert finished.stderr == ""
    for line, expected in zip(finished.stdout.splitlines(), CALLS.values(), strict=True):
        assert expected in line


@pytest.mark.parametrize(
    ("name", "option", "names"),
    [
        ("block", "--match", "realised|expected"),
        ("block", "--activation", "relu|leaky_relu|relu_squared|identity|gelu|erf|silu|tanh"),
        ("block", "--second-layer", "integrated|explicit|none"),
        ("v2", "--layers", "all|first"),
        ("column_pool", "--profile", "lognormal|student[,…]"),
        ("quantizer", "--granularity", "row|tensor"),
    ],
)
def test_on_the_command_line(capsys, name, option, names):
    assert run(["simulate", name, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{option} {names}" in shown.replace("| ", "|")
    assert run(["simulate", name, option, "nonsense"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert option in line
    assert "'nonsense'" in line
    assert all(choice in line for choice in names.removesuffix("[,…]").split("|"))


def test_every_activation_has_a_name():
    assert get_args(ActivationName) == tuple(ACTIVATIONS)
