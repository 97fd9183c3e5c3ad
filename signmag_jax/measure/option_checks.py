"""What can be judged of a measurement's options before a model is opened; each raises InvalidInput."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import inputs
from .all_columns import check_scattered
from .deciding import check_joint, check_verified
from .error_response import check_deterministic, is_deterministic
from .metrics import check_draws
from .outlier_flips import check_rate
from .screening import check_heavy
from .suspects import SHORTLISTS, check_shortlist


def response(probes: int, shortlist: str = SHORTLISTS[0], rates: Sequence[float] = ()) -> None:
    inputs.check_probes(probes)
    check_shortlist(shortlist)
    if rates:
        inputs.check_rates(rates)


def deciding(verified: int, probes: int, shortlist: str, joint: int) -> None:
    check_shortlist(shortlist)
    check_joint(joint)
    if probes:
        inputs.check_probes(probes)
    check_verified(verified)


def errors(errors: Any, probes: int) -> None:
    inputs.check_probes(probes)
    for name, error in errors.items():
        check_deterministic(name, error)


def metrics(perturbation: Any, draws: int) -> None:
    # Whatever draws has a spread over draws.
    check_draws(draws, 1 if is_deterministic(perturbation) else 2)


def chain(rates: Sequence[float]) -> None:
    for rate in rates:
        check_rate(rate)


def one_rate(rate: float) -> None:
    inputs.check_rates((rate,))


def rates_and_draws(rates: Sequence[float], draws: int | Sequence[int]) -> None:
    inputs.draws_per_rate(inputs.check_rates(rates), draws)


def all_columns(rates: Sequence[float], draws: int | Sequence[int], scattered: int) -> None:
    rates_and_draws(rates, draws)
    check_scattered(scattered)


def leverage(rates: Sequence[float], draws: int | Sequence[int], heavy: int) -> None:
    rates_and_draws(rates, draws)
    check_heavy(heavy)
