"""The cheapest choice within a budget: against all choices, with its bound, and whatever the unit."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax.evidence import InvalidInput
from signmag_jax.measure.knapsack import pack


@st.composite
def problems(draw):
    items = draw(st.integers(1, 5))
    options = draw(st.integers(1, 4))
    table = st.lists(st.integers(1, 60), min_size=options, max_size=options)
    prices = st.lists(st.floats(-2, 9), min_size=options, max_size=options)
    sizes = [draw(table) for _ in range(items)]
    costs = [draw(prices) for _ in range(items)]
    least = sum(map(min, sizes))
    return sizes, costs, draw(st.integers(least, sum(map(max, sizes)) + 5))


def cheapest(sizes, costs, budget):
    """By trying all."""
    return min(
        math.fsum(cost[o] for cost, o in zip(costs, options, strict=True))
        for options in itertools.product(*(range(len(each)) for each in sizes))
        if sum(size[o] for size, o in zip(sizes, options, strict=True)) <= budget
    )


@given(problems())
def test_no_other_choice_within_the_budget_costs_less(problem):
    sizes, _, budget = problem
    found = pack(*problem)
    assert found.exact
    assert found.size == sum(size[o] for size, o in zip(sizes, found.options, strict=True)) <= budget
    assert found.cost == pytest.approx(cheapest(*problem), abs=1e-9)
    assert found.bound <= found.cost


@given(problems(), st.integers(2, 9))
def test_a_coarse_unit_meets_the_budget_too_and_says_that_it_may_cost_more(problem, states):
    sizes, costs, budget = problem
    found = pack(sizes, costs, budget, states)
    assert found.size == sum(size[o] for size, o in zip(sizes, found.options, strict=True)) <= budget
    best = cheapest(*problem)
    assert found.bound - 1e-9 <= best <= found.cost + 1e-9
    assert not found.exact or found.cost == pytest.approx(best, abs=1e-9)


@given(problems(), st.integers(0, 40))
def test_more_room_never_costs_more(problem, more):
    sizes, costs, budget = problem
    assert pack(sizes, costs, budget + more).cost <= pack(sizes, costs, budget).cost + 1e-12


def test_the_bound_is_the_cost_where_one_option_a_price_is_best():
    """On the hull of sizes and costs the relaxation leaves no gap."""
    found = pack([[1, 2, 3]] * 4, [[9.0, 3.0, 1.0]] * 4, 8)
    assert found.options == (1, 1, 1, 1)
    assert found.bound == pytest.approx(12.0)


def test_a_budget_below_the_smallest_options_is_refused():
    with pytest.raises(InvalidInput, match="budget >= 5"):
        pack([[2, 9], [3, 4]], [[1.0, 0.0], [1.0, 0.0]], 4)
