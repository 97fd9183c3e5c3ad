"""One ReLU block with a normalised output, perturbed in its first matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Unpack

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signmag_jax.evidence import Estimate
from signmag_jax.evidence.errors import invalid

from . import pairs
from .engine import Options, run
from .gaussian import DTYPES, Activation, choose, sphere, weights, whole
from .gaussian import activation as named_activation
from .network import Experiment, Statistics
from .result import MEAN_OF_RATIOS, Estimates, Result
from .split import Energies, energies, excess, share, turned, weight_controls
from .tally import Pair, Tally, fewest_networks

SECOND_LAYERS = ("integrated", "explicit", "none")
DIFFERENCES = ("linear", "finite")
ARMS = ("first", "second")
CONTROLS = (
    "square_control",
    "absolute_control",
    "clean_control",
    *(f"{arm}_{kind}_control" for arm in ARMS for kind in ("error", "along")),
)
CONTROLLED = "mean of per-network ratios, regressed on control variates of mean zero"


@dataclass(frozen=True)
class Arm(Result):
    """What one perturbation does, per output coordinate, for pre-activations N(0, 1).

    Args:
      energy: E‖δy‖²/d.
      transverse: what the ratio compares: E‖P⊥(y) δy‖²/d, or E sin² of the angle for finite differences.
      radial_fraction: of the hidden difference δ, E⟨h, δ⟩²/‖h‖² over E‖δ‖², ratio of means.
      output_radial_fraction: the same of y and δy.
      radial_fraction_per_network: of the hidden difference, as a mean of per-network ratios; see `result`
        for what lies between the two.
      output_radial_fraction_per_network: the same of y and δy.
    """

    energy: Estimate
    transverse: Estimate
    radial_fraction: Estimate
    output_radial_fraction: Estimate
    radial_fraction_per_network: Estimate
    output_radial_fraction_per_network: Estimate


@dataclass(frozen=True)
class BlockResult(Result):
    """Two perturbations compared after the normalisation.

    Args:
      transverse_ratio: first over second, mean of per-network ratios.
      transverse_ratio_of_means: the same as a ratio of means; see `result` for what lies between the two.
        Its expectation does not depend on the number of inputs, and is that of `crossings`.
      first: the first perturbation (the sign flips).
      second: the second (the magnitude shift).
      networks: how many were simulated.
      controlled_ratio: the same expectation as `transverse_ratio` with a smaller error, where asked for.
    """

    transverse_ratio: Estimate
    transverse_ratio_of_means: Estimate
    first: Arm
    second: Arm
    networks: int
    controlled_ratio: Estimate | None = None


def block(
    width: int,
    rate: Any = None,
    *,
    perturbations: Any = None,
    hidden: int | None = None,
    outputs: int | None = None,
    activation: str | Activation = "relu",
    second_layer: str = "integrated",
    difference: str = "linear",
    match: str = "realised",
    inputs: int | None = None,
    antipodal: bool = True,
    controlled: bool = False,
    dtype: str = "float32",
    **options: Unpack[Options],
) -> BlockResult:
    """Simulate y = W₂ φ(W x) with W perturbed, by brute force: draw W, perturb it, multiply.

    W (hidden × width) has N(0, 1) entries, x is uniform on the unit sphere, W₂ (outputs × hidden) has
    N(0, 1/hidden) entries. Each network has its own W, W₂, perturbations and inputs, and is one sample.

    Args:
      width: length n of x, at least 2.
      rate: flip rate in (0, 0.5], or a list; the second perturbation is then the magnitude shift of
        equal Frobenius norm. Several rates share weights, inputs and nested flips.
      perturbations: instead of a rate, a pair of `perturb.Perturbation`, taken as they are.
      hidden: rows m of W; `width` by default.
      outputs: length d of y, at least 2; `width` by default.
      activation: a name in `simulate.ACTIVATIONS`, the theory's, or a function of an array.
      second_layer: "integrated" uses E‖P⊥(y) δy‖² = (d−1)/m ‖δ⊥‖², exact for Gaussian W₂; "explicit"
        draws W₂; "none" is y = φ(W x).
      difference: "linear", the Fréchet derivative of the normalisation applied to the finite δy:
        ‖P⊥(y) δy‖²; or "finite", the change of the normalised output itself, sin² of the angle.
      match: "realised" or "expected" equality of the Frobenius norms.
      inputs: per network; `default_inputs(width)` by default.
      antipodal: draw the inputs in pairs x, −x, whose products with W are each other's negatives; each
        is uniform on the sphere, so no mean and no ratio of means is biased, and half of the products are
        saved. The bias of a mean of per-network ratios is that of half as many inputs where x and −x tell
        the same, as under an odd activation.
      controlled: also regress each network's ratio on ‖Wx‖², ‖ΔWx‖² and ⟨Wx, ΔWx⟩ minus their means over
        the sphere, ‖W‖²/n, ‖ΔW‖²/n and tr(WᵀΔW)/n, exact whatever W and ΔW are, and on the means of w²
        and |w| minus 1 and √(2/π): about 13 times less variance at p = 0.01, 5 times at
        0.2. Targets then refer to this estimate.
      dtype: "float32" or "float64".
      options: targets, seed, resume and mesh, as in `Options`.

    Returns:
      Estimates of shape () or (rates,), without unit.

    Raises:
      InvalidInput: for an argument out of its range, or a folder of another run.
      Incomplete: if the target is out of reach, or a network has no defined ratio.

    Source: arXiv:2605.18933, section 9.3 (V1; with second_layer="none", difference="finite": V0).
    """
    whole("width", width, 2)
    pair, parameters, shape, named = pairs.either(rate, perturbations, match)
    label, function = named_activation(activation)
    sample = BlockSample(
        width,
        width if hidden is None else hidden,
        width if outputs is None else outputs,
        default_inputs(width) if inputs is None else inputs,
        function,
        second_layer,
        difference,
        dtype,
        antipodal,
        pair,
        controlled=controlled,
    )
    fewest, networks = fewest_networks(CONTROLS), options.get("networks")
    if controlled and isinstance(networks, int) and networks < fewest:
        raise invalid(f"networks >= {fewest} with control variates", networks, "raise it, or leave them out")
    experiment = Experiment(
        "block",
        sample,
        parameters,
        {**named, "activation": label, **sample.arguments()},
        sample.work(math.prod(shape)),
        _controlled_ratio if controlled else _ratio,
    )
    tally, provenance = run(experiment, **options)
    found = Estimates(tally, provenance, shape)
    return BlockResult(
        found.mean("ratio", MEAN_OF_RATIOS),
        found.ratio("first_transverse", "second_transverse"),
        _arm(found, "first"),
        _arm(found, "second"),
        tally.count,
        found.controlled("ratio", CONTROLS, CONTROLLED) if controlled else None,
    )


def _ratio(tally: Tally) -> Pair:
    return tally.mean("ratio")


def _controlled_ratio(tally: Tally) -> Pair:
    return tally.controlled("ratio", CONTROLS)


def default_inputs(width: int) -> int:
    """Inputs per network when none are asked for: 4n, between 256 and 8192.

    The variance of a network's ratio falls as A + B/inputs with A = O(1/n²), so that more inputs pay
    until their products cost what the network's random numbers do and B/inputs is down to A: measured,
    about 4n at n = 256 (1.6 times the efficiency of n). The upper end bounds the memory.
    """
    return min(max(256, 4 * width), 8192)


def _arm(found: Estimates, arm: str) -> Arm:
    return Arm(
        found.mean(f"{arm}_energy"),
        found.mean(f"{arm}_transverse"),
        found.ratio(f"{arm}_hidden_radial", f"{arm}_hidden_energy"),
        found.ratio(f"{arm}_radial", f"{arm}_energy"),
        found.mean(f"{arm}_hidden_fraction", MEAN_OF_RATIOS),
        found.mean(f"{arm}_fraction", MEAN_OF_RATIOS),
    )


@dataclass(frozen=True)
class BlockSample:
    """One network of `block`; the fields are its arguments."""

    width: int
    hidden: int
    outputs: int
    inputs: int
    activation: Activation
    second_layer: str
    difference: str
    dtype: str
    antipodal: bool
    pair: Any
    second_over_first: bool = False
    controlled: bool = False

    def __post_init__(self) -> None:
        for name, low in (("hidden", 2), ("outputs", 2), ("inputs", 1)):
            whole(name, getattr(self, name), low)
        choose("second_layer", self.second_layer, SECOND_LAYERS)
        choose("difference", self.difference, DIFFERENCES)
        choose("dtype", self.dtype, DTYPES)
        for name in ("antipodal", "controlled"):
            if not isinstance(getattr(self, name), bool):
                raise invalid(f"{name} is True or False", getattr(self, name), f"pass {name}=True")
        if self.antipodal and self.inputs % 2:
            raise invalid("inputs is even for antipodal inputs", self.inputs, "pass an even number")
        if self.difference == "finite" and self.second_layer == "integrated":
            raise invalid(
                "second_layer is 'explicit' or 'none' for finite differences",
                self.second_layer,
                "only the linear transverse energy has an exact mean over W2",
            )

    def arguments(self) -> dict[str, Any]:
        """The arguments that a record is known by: those that are plain values."""
        names = (
            "width",
            "hidden",
            "outputs",
            "inputs",
            "second_layer",
            "difference",
            "dtype",
            "antipodal",
            "controlled",
        )
        return {name: getattr(self, name) for name in names}

    def work(self, parameters: int) -> float:
        """Floating-point operations: the matrix products, and about 300 for a random weight or input."""
        arms = 1 + 2 * parameters
        products = 2.0 * self.hidden * self.inputs * arms / len(self._ways())
        explicit = self.outputs if self.second_layer == "explicit" else 0
        random = 300.0 * (self.hidden * 3 + self.inputs) * self.width
        return products * (self.width + explicit) + random

    def __call__(self, parameters: Any, key: PRNGKeyArray) -> Statistics:
        """Statistics of one network, each with the leading axis of `parameters`."""
        for_w, for_x, for_pair, for_second = jax.random.split(key, 4)
        w = weights(for_w, self.hidden, self.width, self.dtype)
        x = sphere(for_x, self.width, self.inputs // len(self._ways()), self.dtype)
        second = None
        if self.second_layer == "explicit":
            second = weights(for_second, self.outputs, self.hidden, self.dtype)
            second = second / jnp.asarray(math.sqrt(self.hidden), self.dtype)
        # Held, because XLA would draw both again inside each consumer.
        w, x = lax.optimization_barrier((w, x))
        z = w @ x

        def compare(parameter: Any) -> Statistics:
            found: Statistics = {}
            pair = self.pair.draw(parameter, for_pair, w)
            moved = [pairs.differ(changed, w) for changed in pair]
            for arm, changed in zip(ARMS, pair, strict=True):
                after = changed @ x
                statistics = self._arm(z, after, second)
                for side in ("", "hidden_"):
                    parts = (statistics[f"{side}{part}"] for part in ("radial", "energy"))
                    statistics[f"{side}fraction"] = share(*parts)
                if self.controlled:
                    statistics["error_control"] = excess(after - z, after - z, changed - w, changed - w)
                    statistics["along_control"] = excess(z, after - z, w, changed - w)
                found |= {f"{arm}_{name}": value for name, value in statistics.items()}
            if self.controlled:
                found |= {"clean_control": excess(z, z, w, w), **weight_controls(w)}
            top, bottom = ARMS[::-1] if self.second_over_first else ARMS
            ratio = found[f"{top}_transverse"] / found[f"{bottom}_transverse"]
            # Equal matrices may differ in the last bit of their products: a ratio to that is no number.
            sound = moved[ARMS.index(bottom)] & self._turns(found, bottom)
            return {**found, "ratio": jnp.where(sound, ratio, jnp.nan)}

        # Not vmap: one rate's arrays at a time stay in cache, which is 1.1 to 1.4 times faster on a CPU
        # at widths 512 and 1024, and memory does not grow with the number of rates.
        return lax.map(compare, parameters)

    def _turns(self, found: Statistics, arm: str) -> Array:
        """Whether an error is more than a change of length (`Scale`, one active unit) and its rounding."""
        whole = 1.0 if self.difference == "finite" else found[f"{arm}_energy"]
        return found[f"{arm}_transverse"] > (8 * float(jnp.finfo(self.dtype).eps)) ** 2 * whole

    def _ways(self) -> tuple[int, ...]:
        return (1, -1) if self.antipodal else (1,)

    def _arm(
        self, z: Float[Array, "hidden columns"], other: Float[Array, "hidden columns"], second: Any
    ) -> Any:
        """Statistics of one perturbation: the mean over x and, with W(−x) = −Wx for nothing, over −x."""
        signed = [self._one_way(way * z, way * other, second) for way in self._ways()]
        return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *signed)

    def _one_way(
        self, z: Float[Array, "hidden columns"], other: Float[Array, "hidden columns"], second: Any
    ) -> Statistics:
        h, other = self.activation(z), self.activation(other)
        inside = energies(h, other - h)
        if self.second_layer == "integrated":
            kept = (self.outputs - 1) / self.outputs
            output = Energies(
                inside.energy, inside.energy - kept * inside.transverse, kept * inside.transverse
            )
        elif self.second_layer == "none":
            output = inside
        else:
            h, other = second @ h, second @ other
            output = energies(h, other - h)
        transverse = turned(h, other) if self.difference == "finite" else output.transverse
        return {
            "energy": output.energy,
            "radial": output.radial,
            "transverse": transverse,
            "hidden_energy": inside.energy,
            "hidden_radial": inside.radial,
        }
