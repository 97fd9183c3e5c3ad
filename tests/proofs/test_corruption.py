"""Every line of every proof carries weight: falsify any one of them and the proof falls."""

import pytest

from signmag_jax.theory import proof
from signmag_jax.theory.derivation import ASIDE, DEFINITION, LAW, SIGN
from signmag_jax.theory.proof import Tamper, check, folder, load


@pytest.fixture(params=proof.names())
def derivation(request, library):
    """A proof file and its result without tampering."""
    result = library.result(request.param)
    return load(folder() / f"{request.param}.py"), result


def test_it_stands(derivation):
    _, result = derivation
    assert result.proved, result.failure
    assert all(step.ok for step in result.steps)
    assert result.count(LAW) >= 1


def test_a_false_line_is_caught_where_it_stands(derivation, library):
    module, result = derivation
    for index, step in enumerate(result.steps):
        broken = check(module, library, Tamper(index))
        assert not broken.proved, f"line {index} ({step.name}) was falsified and nothing happened"
        failed_at = len(broken.steps) - 1
        if step.kind == DEFINITION:
            assert failed_at > index, f"definition {index} ({step.name}): failed before it was used"
        else:
            assert failed_at == index, f"line {index} ({step.name}) was falsified, {failed_at} failed"


def test_a_false_line_that_is_believed_brings_down_what_follows(derivation, library):
    module, result = derivation
    for index, step in enumerate(result.steps):
        if step.kind in (*ASIDE, SIGN):
            continue
        broken = check(module, library, Tamper(index, believed=True))
        assert not broken.proved or broken.conclusions != result.conclusions, (
            f"line {index} ({step.name}) can be anything: nothing rests on it"
        )
