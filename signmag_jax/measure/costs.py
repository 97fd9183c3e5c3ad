"""What each measurement costs: forward passes over its windows, and of 2,048 tokens whatever the windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signmag_jax.models import MATRICES

from . import response, sweep
from .alone import ALONE
from .attacked import RULES
from .attacks import attack_tokens
from .column_statistics import TOP_PARTS
from .deciding import BRACKET_PASSES, SUSPECTED
from .error_response import PROBE_PASSES, WHOLE_PASSES
from .incoherent import PASSES as INCOHERENT_PASSES
from .inputs import draws_per_rate
from .joint import joint_tokens
from .kept import HURT, kept_rows, kept_tokens
from .leverage import DRAWS
from .outlier_flips import outlier_arms
from .plan_costs import TRIAL_WINDOWS, TRIALS
from .pools import ARMS
from .protect import checked as checked_protection
from .quantization_report import checked_options
from .screening import TOKENS, screening_tokens
from .sensitivity import DRAW_PASSES, FORWARD_PASSES
from .shift_parts import SHIFT_PARTS
from .strata import HEAVY
from .stratified import LIGHT_PER_JOINT
from .suspects import NAMED, SHORTLISTS, suspects_tokens


def once() -> int | float:
    return 1


def leverage(rates: Sequence[float], draws: int | Sequence[int] = DRAWS, heavy: int = HEAVY) -> int | float:
    """Clean, A/A, the heavy weights alone, and at every rate and in both arms light draws and joint ones."""
    counts = draws_per_rate(rates, draws)
    joint = sum(max(1, count // LIGHT_PER_JOINT) for count in counts) if heavy else 0
    return 2 + heavy + len(ARMS) * (joint + sum(counts))


def screening(heavy: int = HEAVY) -> float:
    """The flips by which heavy weights are found."""
    return screening_tokens(heavy) / sweep.PASS_TOKENS


def all_columns(
    rates: Sequence[float], draws: int | Sequence[int], scattered: int, by_matrix: bool
) -> int | float:
    """Clean, every draw of flips, and at each rate one shift, its growth, the rest and its draws of signs."""
    once = 1 + sum(draws_per_rate(rates, draws)) + len(SHIFT_PARTS) * len(rates)
    return once * (1 + by_matrix * len(MATRICES)) + scattered * len(rates)


def metrics(draws: int) -> int | float:
    """Clean, A/A and every draw."""
    return 2 + draws


def outlier_flips(draws: int, anywhere: bool) -> int | float:
    return 2 + len(outlier_arms(anywhere)) * draws


def outlier_definitions(rate: float, draws: int) -> int | float:
    return (len(TOP_PARTS) + 3) * leverage((rate,), draws, 0)


def _matrices(layers: Sequence[int] | None, matrices: Sequence[str] | None) -> int:
    """How many matrices, where none named means the middle layer or the query projection."""
    return len(layers or (0,)) * len(matrices or ("",))


def column_flips(columns: int, layers: Sequence[int] | None, matrices: Sequence[str] | None) -> int | float:
    return _matrices(layers, matrices) * (2 + columns)


def flip_energies(
    columns: int,
    draws: int,
    layers_of_model: int,
    layers: Sequence[int] | None,
    matrices: Sequence[str] | None,
) -> int | float:
    """One pass for the clean streams; a flipped column runs its own layer again."""
    return _matrices(layers, matrices) * (1 + columns * draws / layers_of_model)


def quantization_report(
    quantizers: Sequence[str] | None,
    scales: Sequence[str | int],
    layers: Sequence[int] | None,
    matrices: Sequence[str] | None,
    losses: bool,
    layers_of_model: int,
) -> int | float:
    """One layer for each matrix and option, and one loss."""
    options = len(checked_options(quantizers, scales))
    quantized = len(range(layers_of_model) if layers is None else layers) * len(matrices or MATRICES)
    rows = 1 + quantized * (options + 1) / layers_of_model
    return rows + (2 + quantized * options + kept_rows(quantized) if losses else 0)


def quantization_trials() -> float:
    """The weights of which the one that saves most is kept, in the costliest matrices."""
    return kept_tokens(HURT) / sweep.PASS_TOKENS


def rotation(draws: int) -> int | float:
    """The clean loss and the metrics of both models."""
    return 2 + 2 * metrics(draws)


def linear_response(
    probes: int,
    singles: int | Sequence[Any] = response.SINGLES,
    newton: str = "signs",
    rates: Sequence[float] = (),
) -> int | float:
    count = singles if isinstance(singles, int) else len(singles)
    flips = count + 1 if count else 0
    each = response.GRADIENT_PASSES + probes * (response.RESIDUAL_PASSES + response.NEWTON_PASSES[newton])
    derivatives = each + flips + len(response.POOLS) * response.DIRECTION_PASSES
    return derivatives + (leverage(rates) + controlled() if rates else 0)


def response_screening(
    rates: Sequence[float] = (),
    singles: int | Sequence[Any] = response.SINGLES,
    shortlist: str = SHORTLISTS[0],
) -> float:
    """The flips among which single weights are chosen, and those of a leverage."""
    tried = isinstance(singles, int) and singles and shortlist == SHORTLISTS[0]
    return (suspects_tokens() / sweep.PASS_TOKENS if tried else 0.0) + (screening() if rates else 0.0)


def controlled() -> int | float:
    return response.GRADIENT_PASSES


def deciding_weights(verified: int, probes: int, response: Any, shortlist: str, joint: int) -> int | float:
    own = linear_response(probes) if response is None and probes else 0
    several = shortlist == SHORTLISTS[0]
    weights = verified + (SUSPECTED if several else 0)
    return 1 + weights * (1 + BRACKET_PASSES) + (joint if several else 0) + own


def own_response(probes: int, response: Any) -> float:
    """The flips of suspects for a linear response that is measured where none is given."""
    return response_screening() if response is None and probes else 0.0


def deciding_search(probes: int, response: Any, shortlist: str, joint: int) -> float:
    """The flips of suspects, alone and together."""
    own = own_response(probes, response)
    if shortlist != SHORTLISTS[0]:
        return own
    tokens = suspects_tokens() + joint_tokens(sum(NAMED.values()), joint, TOKENS)
    return own + tokens / sweep.PASS_TOKENS


def sensitivity(draws: int, probes: int, response: Any) -> int | float:
    own = linear_response(probes) if response is None and probes else 0
    return FORWARD_PASSES + draws * DRAW_PASSES + own


def incoherent_errors() -> int | float:
    return INCOHERENT_PASSES


def attacks(flips: int, protected: Sequence[int], defend: float | None) -> int | float:
    """Clean, and every number of flips by every rule in every game, one of them that of the defences."""
    return 1 + (len({0, *protected}) + (defend is not None)) * len(RULES) * flips


def attack_search(flips: int, protected: Sequence[int], defend: float | None) -> float:
    """The flips among which our own rule chooses, and the others' passes."""
    return attack_tokens(flips, protected, defend) / sweep.PASS_TOKENS


def error_response(errors: Any, probes: int) -> int | float:
    return len(errors) * (WHOLE_PASSES + probes * PROBE_PASSES)


def plan(draws: int) -> int | float:
    """Clean, the plan, and mixtures of uniform widths."""
    return 2 + draws


def plan_trials(window: int) -> float:
    """Trials on the first calibration windows, and the clean loss."""
    return (1 + TRIALS) * TRIAL_WINDOWS * window / sweep.PASS_TOKENS


def protect(
    against: str,
    budget: Sequence[str],
    compare: Sequence[str] | None,
    draws: int,
) -> int | float:
    """Clean, everything, each criterion at each budget and draw, and some matrices alone, twice."""
    error, budgets, rivals = checked_protection(against, budget, compare=compare, draws=draws)
    flipped = 1 if error.rate is None else draws
    randomly = draws * ("random" in rivals)
    choices = flipped * (1 + len(rivals) - ("random" in rivals)) + randomly
    return 1 + flipped + choices * len(budgets) + 2 * ALONE * flipped


def protect_screening() -> float:
    return suspects_tokens() / sweep.PASS_TOKENS
