"""Every measurement by the name that the command line gives it, and what it costs."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from signmag_jax.models import MATRICES

from . import inputs, response, sweep
from .activations import alpha
from .all_columns import all_columns, check_scattered
from .alone import ALONE
from .attacked import RULES
from .attacks import attack_tokens, attacks, check_game
from .column_flips import column_flips
from .column_map import columns
from .column_statistics import PARTS
from .control import controlled
from .deciding import (
    BRACKET_PASSES,
    SHORTLIST_PASSES,
    SUSPECTED,
    check_joint,
    check_verified,
    deciding_weights,
)
from .error_response import PROBE_PASSES, WHOLE_PASSES, check_deterministic, error_response, is_deterministic
from .flip_energies import flip_energies
from .inputs import draws_per_rate
from .joint import joint_tokens
from .kept import HURT, kept_rows, kept_tokens
from .leverage import DRAWS, leverage
from .loss import nll
from .metrics import check_draws, metrics
from .outlier_definitions import outlier_definitions
from .outlier_flips import arms as outlier_arms
from .outlier_flips import check_rate, outlier_flips
from .plan import DERIVATIVE_PASSES, TRIAL_WINDOWS, TRIALS, check_plan, plan
from .plan import DRAWS as PLAN_DRAWS
from .pools import ARMS
from .protect import BUDGETS, protect
from .protect import DRAWS as PROTECT_DRAWS
from .protect import checked as checked_protection
from .quantization import quantization
from .quantization_report import checked_options, quantization_report
from .response import linear_response
from .rotation import rotation
from .screening import TOKENS, check_heavy, screening_tokens
from .sensitivity import DRAW_PASSES, FORWARD_PASSES, check_counts, sensitivity
from .shift_parts import PARTS as SHIFT_PARTS
from .strata import HEAVY
from .stratified import JOINT
from .suspects import NAMED, SHORTLISTS, check_shortlist, suspects_tokens
from .trained_chain import trained_chain

LAYERS = 30
"""Layers of the embedded model, for the cost of another whose config is not known yet."""
DERIVATIVE_ARRAYS = 3
"""Weights, the costs by which single ones are chosen, and a gradient."""
PROTECT_ARRAYS = 4
"""Weights, the predicted costs, the scores of one criterion, and its masks and a gradient."""
ERROR_ARRAYS = 5
"""Weights, an error, the error with random signs, the gradient and its derivative along that."""


@dataclass(frozen=True)
class Measurement:
    """A measurement, and what it takes.

    Args:
      function: the measurement; its keyword options are those of the command line.
      evaluations: forward passes over the evaluation windows, from some of the function's keyword options
        and `layers_of_model`.
      calibrations: forward passes over the calibration windows; 0 where it reads none.
      fewest: evaluation windows that it takes at least.
      arrays: arrays of the weights' size that exist at one time, the weights among them.
      check: refuses some of the keyword options before a model is opened.
      check_files: refuses places where its files could not be written.
      fixed: forward passes of 2,048 tokens, whatever the windows, from some of the keyword options.
    """

    function: Callable[..., Any]
    evaluations: Callable[..., float]
    calibrations: int = 0
    fewest: int = 1
    arrays: int = 1
    check: Callable[..., Any] | None = None
    fixed: Callable[..., float] = lambda: 0.0
    check_files: Callable[..., Any] | None = None

    def passes(
        self,
        *,
        windows: int,
        window: int,
        calibration: int = 0,
        layers_of_model: int = LAYERS,
        **options: Any,
    ) -> int | float:
        """Cost in forward passes of 2,048 tokens.

        Args:
          windows: evaluation windows.
          window: tokens of a window.
          calibration: calibration windows; 0 leaves their cost out.
          layers_of_model: layers of the model, where only some of them are run.
          options: keyword options of the measurement; the others have their defaults.
        """
        scored = self._called(self.evaluations, options | {"layers_of_model": layers_of_model}) * windows
        fixed = self._called(self.fixed, options | {"window": window})
        return fixed + (scored + self.calibrations * calibration) * window / sweep.PASS_TOKENS

    def of(self, function: Callable[..., Any], check_files: Callable[..., Any] | None = None) -> Measurement:
        """The same by another function of the same options and more, which writes files."""
        return dataclasses.replace(self, function=function, check_files=check_files)

    def refuse(self, options: dict[str, Any]) -> None:
        """Raises InvalidInput for keyword options that can be judged before a model is opened."""
        for check in (self.check, self.check_files):
            if check is not None:
                self._called(check, options)

    def _called(self, function: Callable[..., Any], options: dict[str, Any]) -> Any:
        """A function of some of the keyword options, those that were not given at their defaults."""
        parameters = inspect.signature(self.function).parameters.values()
        known = {each.name: each.default for each in parameters if each.default is not each.empty} | options
        return function(
            **{name: known[name] for name in inspect.signature(function).parameters if name in known}
        )


def _once() -> int | float:
    return 1


def _leverage(rates: Sequence[float], draws: int | Sequence[int] = DRAWS, heavy: int = HEAVY) -> int | float:
    """Clean, A/A, the heavy weights alone, and at every rate and in both arms light draws and joint ones."""
    counts = draws_per_rate(rates, draws)
    joint = sum(max(1, count // JOINT) for count in counts) if heavy else 0
    return 2 + heavy + len(ARMS) * (joint + sum(counts))


def _screening(heavy: int = HEAVY) -> float:
    """The flips by which heavy weights are found."""
    return screening_tokens(heavy) / sweep.PASS_TOKENS


def _all_columns(rates: Sequence[float], draws: int | Sequence[int], scattered: int) -> int | float:
    """Clean, every draw of flips, and at each rate one shift, its growth, the rest and its draws of signs."""
    return 1 + sum(draws_per_rate(rates, draws)) + (len(SHIFT_PARTS) + scattered) * len(rates)


def _metrics(draws: int) -> int | float:
    """Clean, A/A and every draw."""
    return 2 + draws


def _outlier_flips(draws: int, anywhere: bool) -> int | float:
    return 2 + len(outlier_arms(anywhere)) * draws


def _outlier_definitions(rate: float, draws: int) -> int | float:
    return (len(PARTS) + 3) * _leverage((rate,), draws, 0)


def _matrices(layers: Sequence[int] | None, matrices: Sequence[str] | None) -> int:
    """How many matrices, where none named means the middle layer or the query projection."""
    return len(layers or (0,)) * len(matrices or ("",))


def _column_flips(columns: int, layers: Sequence[int] | None, matrices: Sequence[str] | None) -> int | float:
    return _matrices(layers, matrices) * (2 + columns)


def _flip_energies(
    columns: int,
    draws: int,
    layers_of_model: int,
    layers: Sequence[int] | None,
    matrices: Sequence[str] | None,
) -> int | float:
    """One pass for the clean streams; a flipped column runs its own layer again."""
    return _matrices(layers, matrices) * (1 + columns * draws / layers_of_model)


def _quantization_report(
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


def _quantization_trials() -> float:
    """The weights of which the one that saves most is kept, in the costliest matrices."""
    return kept_tokens(HURT) / sweep.PASS_TOKENS


def _rotation(draws: int) -> int | float:
    """The clean loss and the metrics of both models."""
    return 2 + 2 * _metrics(draws)


def _linear_response(
    probes: int,
    singles: int | Sequence[Any] = response.SINGLES,
    newton: str = "signs",
    rates: Sequence[float] = (),
) -> int | float:
    count = singles if isinstance(singles, int) else len(singles)
    flips = count + 1 if count else 0
    each = response.GRADIENT_PASSES + probes * (response.RESIDUAL_PASSES + response.NEWTON_PASSES[newton])
    derivatives = each + flips + len(response.POOLS) * response.DIRECTION_PASSES
    return derivatives + (_leverage(rates) + _controlled() if rates else 0)


def _response_screening(
    rates: Sequence[float] = (),
    singles: int | Sequence[Any] = response.SINGLES,
    shortlist: str = SHORTLISTS[0],
) -> float:
    """The flips among which single weights are chosen, and those of a leverage."""
    tried = isinstance(singles, int) and singles and shortlist == SHORTLISTS[0]
    return (suspects_tokens() / sweep.PASS_TOKENS if tried else 0.0) + (_screening() if rates else 0.0)


def _controlled() -> int | float:
    return response.GRADIENT_PASSES


def _deciding_weights(verified: int, probes: int, response: Any, shortlist: str, joint: int) -> int | float:
    own = _linear_response(probes) if response is None and probes else 0
    several = shortlist == SHORTLISTS[0]
    weights = verified + (SUSPECTED if several else 0)
    return 1 + weights * (1 + BRACKET_PASSES) + (joint if several else 0) + own


def _own_response(probes: int, response: Any) -> float:
    """The flips of suspects for a linear response that is measured where none is given."""
    return _response_screening() if response is None and probes else 0.0


def _deciding_search(probes: int, response: Any, shortlist: str, joint: int) -> float:
    """The flips of suspects, alone and together."""
    own = _own_response(probes, response)
    if shortlist != SHORTLISTS[0]:
        return own
    tokens = suspects_tokens() + joint_tokens(sum(NAMED.values()), joint, TOKENS)
    return own + tokens / sweep.PASS_TOKENS


def _sensitivity(draws: int, probes: int, response: Any) -> int | float:
    own = _linear_response(probes) if response is None and probes else 0
    return FORWARD_PASSES + draws * DRAW_PASSES + own


def _attacks(flips: int, protected: Sequence[int]) -> int | float:
    """Clean, and every number of flips by every rule in every game."""
    return 1 + len({0, *protected}) * len(RULES) * flips


def _attack_search(flips: int, protected: Sequence[int]) -> float:
    """The flips among which our own rule chooses, and the others' passes."""
    return attack_tokens(flips, protected) / sweep.PASS_TOKENS


def _error_response(errors: Any, probes: int) -> int | float:
    return len(errors) * (WHOLE_PASSES + probes * PROBE_PASSES)


def _plan(draws: int = PLAN_DRAWS) -> int | float:
    """Clean, the plan, and mixtures of uniform widths."""
    return 2 + draws


def _plan_trials(window: int = 512) -> float:
    """Trials on the first calibration windows, and the clean loss."""
    return (1 + TRIALS) * TRIAL_WINDOWS * window / sweep.PASS_TOKENS


def _protect(
    against: str = "ternary",
    budget: Sequence[str] = BUDGETS,
    compare: Sequence[str] | None = None,
    draws: int = PROTECT_DRAWS,
) -> int | float:
    """Clean, everything, each criterion at each budget and draw, and some matrices alone, twice."""
    error, budgets, rivals = checked_protection(against, budget, compare=compare, draws=draws)
    flipped = 1 if error.rate is None else draws
    randomly = draws * ("random" in rivals)
    choices = flipped * (1 + len(rivals) - ("random" in rivals)) + randomly
    return 1 + flipped + choices * len(budgets) + 2 * ALONE * flipped


def _protect_screening() -> float:
    return suspects_tokens() / sweep.PASS_TOKENS


def _check_response(probes: int, shortlist: str = SHORTLISTS[0], rates: Sequence[float] = ()) -> None:
    inputs.check_probes(probes)
    check_shortlist(shortlist)
    if rates:
        inputs.check_rates(rates)


def _check_deciding(verified: int, probes: int, shortlist: str, joint: int) -> None:
    check_shortlist(shortlist)
    check_joint(joint)
    if probes:
        inputs.check_probes(probes)
    check_verified(verified)


def _check_errors(errors: Any, probes: int) -> None:
    inputs.check_probes(probes)
    for name, error in errors.items():
        check_deterministic(name, error)


def _check_metrics(perturbation: Any, draws: int) -> None:
    # Whatever draws has a spread over draws.
    check_draws(draws, 1 if is_deterministic(perturbation) else 2)


def _check_chain(rates: Sequence[float]) -> None:
    for rate in rates:
        check_rate(rate)


def _check_one_rate(rate: float) -> None:
    inputs.check_rates((rate,))


def _check_leverage(rates: Sequence[float], draws: int | Sequence[int]) -> None:
    draws_per_rate(inputs.check_rates(rates), draws)


def _check_all_columns(rates: Sequence[float], draws: int | Sequence[int], scattered: int) -> None:
    _check_leverage(rates, draws)
    check_scattered(scattered)


def _check_damage(rates: Sequence[float], draws: int | Sequence[int], heavy: int) -> None:
    _check_leverage(rates, draws)
    check_heavy(heavy)


MINIMUM, FEWEST = inputs.MINIMUM_WINDOWS, inputs.FEWEST_CALIBRATION
# Columns, then a backward pass of each window for the single weights.
RESPONSE_CALIBRATIONS = 1 + SHORTLIST_PASSES

MEASUREMENTS: dict[str, Measurement] = {
    "nll": Measurement(nll, _once),
    "alpha": Measurement(alpha, _once, fewest=FEWEST),
    "leverage": Measurement(
        leverage,
        _leverage,
        1 + SHORTLIST_PASSES,
        MINIMUM,
        DERIVATIVE_ARRAYS,
        _check_damage,
        _screening,
    ),
    "quantization": Measurement(quantization, _once, fewest=FEWEST),
    "all-columns": Measurement(all_columns, _all_columns, fewest=MINIMUM, check=_check_all_columns),
    "metrics": Measurement(metrics, _metrics, fewest=MINIMUM, check=_check_metrics),
    "outlier-flips": Measurement(outlier_flips, _outlier_flips, 1, MINIMUM, check=check_rate),
    "column-flips": Measurement(column_flips, _column_flips, 1, MINIMUM),
    "flip-energies": Measurement(flip_energies, _flip_energies, 1, FEWEST, check=check_rate),
    # No window is read: a few matrices meet a few hundred inputs.
    "trained-chain": Measurement(trained_chain, lambda: 0, check=_check_chain),
    "quantization-report": Measurement(
        quantization_report,
        _quantization_report,
        1,
        MINIMUM,
        check=checked_options,
        fixed=_quantization_trials,
    ),
    "outlier-definitions": Measurement(
        outlier_definitions, _outlier_definitions, 2, MINIMUM, check=_check_one_rate
    ),
    "rotation": Measurement(rotation, _rotation, 4, MINIMUM, arrays=2, check=_check_one_rate),
    "linear-response": Measurement(
        linear_response,
        _linear_response,
        RESPONSE_CALIBRATIONS,
        2,
        DERIVATIVE_ARRAYS,
        _check_response,
        _response_screening,
    ),
    "columns": Measurement(
        columns,
        _linear_response,
        RESPONSE_CALIBRATIONS,
        2,
        DERIVATIVE_ARRAYS,
        _check_response,
        _response_screening,
    ),
    "deciding-weights": Measurement(
        deciding_weights,
        _deciding_weights,
        SHORTLIST_PASSES + RESPONSE_CALIBRATIONS,
        2,
        DERIVATIVE_ARRAYS,
        _check_deciding,
        _deciding_search,
    ),
    "sensitivity": Measurement(
        sensitivity, _sensitivity, 1, 2, DERIVATIVE_ARRAYS, check_counts, _own_response
    ),
    "attacks": Measurement(
        attacks, _attacks, RESPONSE_CALIBRATIONS, 2, DERIVATIVE_ARRAYS, check_game, _attack_search
    ),
    "error-response": Measurement(
        error_response, _error_response, fewest=2, arrays=ERROR_ARRAYS, check=_check_errors
    ),
}
"""By the command line's names."""

CONTROLLED = Measurement(controlled, _controlled, arrays=2)
"""The control variate of a leverage, which is no command of its own."""

PLAN = Measurement(plan, _plan, DERIVATIVE_PASSES, MINIMUM, ERROR_ARRAYS, check_plan, _plan_trials)
"""The verb `signmag plan`."""

PROTECT = Measurement(
    protect,
    _protect,
    # Activations, and a backward pass of each window.
    1 + SHORTLIST_PASSES,
    MINIMUM,
    PROTECT_ARRAYS,
    checked_protection,
    _protect_screening,
)
"""The verb `signmag protect`."""
