"""Every experiment of the registry against its law, over widths, rates, activations and depths.

Each number names its nearest wrong answer, which its error must be small enough to reject. All numbers
together are compared at 4 standard errors: the family-wise level that this leaves is asserted.
"""

import math

import numpy as np
import pytest
from agreement import AGREES
from agreement_blocks import BLOCKS
from agreement_chains import CHAINS
from agreement_matrices import MATRICES
from agreement_outliers import OUTLIERS

from signmag_jax import simulate
from signmag_jax.evidence import Estimate
from signmag_jax.simulate.result import MEAN_OF_RATIOS, RATIO_OF_MEANS

FAMILY_LEVEL = 0.05
CASES = [*BLOCKS, *MATRICES, *CHAINS, *OUTLIERS]
FAST = [case for case in CASES if case.fast]
KERNEL_FREE = {"proposition_1", "proposition_1_shift"}


def test_every_experiment_has_a_fast_case_and_a_grid():
    """A new experiment without a law to agree with is noticed here."""
    assert {case.experiment for case in FAST} == set(simulate.EXPERIMENTS)
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[] if case.fast else pytest.mark.slow) for case in CASES], ids=str
)
def test_agreement(case):
    for name, distance, resolved in case.compared(case.laws()):
        assert np.all(resolved), (name, "too vague to reject the nearest wrong answer")
        assert np.all(distance < AGREES), (name, distance)


@pytest.mark.parametrize("case", FAST, ids=str)
def test_a_result_says_what_was_run(case):
    found = case.results[0]
    assert found.to_json()["networks"] == case.networks
    primary = getattr(found, simulate.experiment(case.experiment).primary)
    assert isinstance(primary, Estimate)
    assert np.all(np.asarray(primary.standard_error) > 0)
    for name in case.arguments.keys() & {"rate", "alpha", "depth", "inputs", "granularity"}:
        assert primary.provenance[name] == case.arguments[name]


def test_both_ratios_are_reported_for_every_ratio():
    """Transverse ratios and radial fractions alike, each in two ways."""
    fractions = set()
    for case in FAST:
        plain = case.results[0].to_json()
        for arm in [plain, *(part for part in plain.values() if isinstance(part, dict))]:
            for key in (key for key in arm if key.endswith("radial_fraction")):
                fractions.add(case.experiment)
                one, other = arm[key], arm[f"{key}_per_network"]
                assert (one["estimator"], other["estimator"]) == (RATIO_OF_MEANS, MEAN_OF_RATIOS)
                between = np.abs(np.array(one["value"]) / other["value"] - 1)
                assert np.all((between > 0) & (between < 0.2))
    assert {"block", "proposition_1", "quantizer"} <= fractions


@pytest.mark.slow
def test_the_family_of_all_numbers_keeps_its_level():
    numbers = sum(law.size for case in CASES for law in case.laws().values())
    assert numbers * math.erfc(AGREES / math.sqrt(2)) < FAMILY_LEVEL
    assert numbers > 120


def test_a_wrong_kernel_is_rejected_by_every_experiment_that_has_one(request):
    """The same numbers against laws whose kernel is wrong: all that it touches fail."""
    right = {case: case.laws() for case in FAST}
    request.getfixturevalue("wrong_kernel")
    touched = set()
    for case, laws in right.items():
        wrong = case.laws()
        for name, distance, _ in case.compared(wrong):
            if np.any(np.abs(wrong[name] / laws[name] - 1) > 1e-6):
                touched.add(case.experiment)
                assert np.any(distance > AGREES), (case, name)
    assert touched == set(simulate.EXPERIMENTS) - KERNEL_FREE
