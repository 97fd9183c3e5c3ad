"""Composed networks: the laws of blocks and chains where they coincide, and whole networks drawn in NumPy."""

import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from signmag_jax import theory
from signmag_jax.evidence import Incomplete, InvalidInput
from signmag_jax.perturb import MagnitudeShift, Prune, Scale, SignFlip
from signmag_jax.theory import Dense, Gate, LayerNorm, Residual, RMSNorm, serial

RATES = np.array([1e-12, 0.01, 0.3, 0.5])


def layered(*layers, depth=4):
    return serial(*[serial(*layers)] * depth)


@pytest.mark.parametrize(
    ("network", "law"),
    [
        (serial(Dense(), "relu"), lambda p: theory.transverse_ratio(p)),
        (serial(Dense(), "relu", Dense(None), RMSNorm()), lambda p: theory.transverse_ratio(p)),
        (serial(Dense(weights="laplace"), "relu"), lambda p: theory.transverse_ratio(p, "laplace")),
        (serial(Dense(), "relu", LayerNorm()), lambda p: theory.block_ratio(p, norm="layer")),
        (serial(Dense(scale=0.3), "tanh"), lambda p: theory.block_ratio(p, "tanh", scale=0.3)),
        (serial(Dense(scale=2.0), "relu_squared"), lambda p: theory.block_ratio(p, "relu_squared")),
        (serial(Dense()), lambda p: theory.flip_to_shift_ratio(p)),
        (serial(theory.gated("relu")), None),
        *(
            (
                serial(
                    Gate(
                        serial(Dense(None if where == "up" else "given"), "relu"),
                        Dense(None if where == "gate" else "given"),
                    )
                ),
                lambda p, where=where: theory.block_ratio(p, gated=where),
            )
            for where in ("both", "gate", "up")
        ),
    ],
)
def test_a_block_is_a_network(network, law):
    if law is None:
        with pytest.raises(InvalidInput, match="Gaussian entries before"):
            network.ratio(0.1)
        return
    np.testing.assert_allclose(network.ratio(RATES), law(RATES), rtol=1e-12)


@pytest.mark.parametrize(
    ("network", "difference", "law"),
    [
        (layered(Dense(), "relu", RMSNorm()), "finite", {"chain": "plain"}),
        (layered(Residual(RMSNorm(), Dense(), "relu")), "linear", {"chain": "residual"}),
        (layered(Residual(Dense(), "relu", Dense(None)), RMSNorm()), "finite", {"chain": "renormalised"}),
        (
            serial(serial(Dense(), "relu", RMSNorm()), *[serial(Dense(None), "relu", RMSNorm())] * 3),
            "finite",
            {"chain": "plain", "layers": "first"},
        ),
        (
            layered(Residual(RMSNorm(), Dense(weights=0.7), "silu"), depth=2),
            "linear",
            {"chain": "residual", "activation": "silu", "weights": 0.7},
        ),
    ],
)
def test_a_chain_is_a_network(network, difference, law):
    expected = theory.chain_ratios(RATES, len(network.layers), **law)
    np.testing.assert_allclose(network.ratios(RATES, difference), expected, rtol=1e-12)
    np.testing.assert_allclose(network.ratio(RATES, difference), expected[-1], rtol=1e-12)


@pytest.mark.parametrize("perturbation", [SignFlip(0.2), SignFlip(1.0), MagnitudeShift(-0.3), Scale(-0.5)])
def test_energies_are_those_of_the_block(perturbation):
    for activation in ("relu", "gelu"):
        found = serial(Dense(scale=1.5), activation)(perturbation)
        for name, law in theory.block(perturbation, activation, 1.5)._asdict().items():
            assert getattr(found, name) == pytest.approx(float(law), rel=1e-12, abs=1e-15), name


def test_after_each_layer_is_what_a_shorter_network_gives():
    layers = (Dense(), "relu", Residual(RMSNorm(), Dense(), "relu"), LayerNorm())
    whole = serial(*layers).after_each(SignFlip(np.array([0.1, 0.2])))
    for k in range(1, len(layers) + 1):
        part = serial(*layers[:k])(SignFlip(np.array([0.1, 0.2])))
        for ours, theirs in zip(whole, part, strict=True):
            np.testing.assert_allclose(ours[k - 1], np.broadcast_to(theirs, (2,)), rtol=1e-13)


# Of lengths without a common factor: repeated over the features, they are independent.
GAIN, SHIFT, LAST = np.array([0.5, 1.5, 2.0]), np.array([1.2, -0.4]), np.array([1.0, 0.5, 2.0, 1.0, 1.5])
WHOLE = serial(
    Dense(weights="uniform", scale=1.3, bias=0.8),
    "relu",
    LayerNorm(gain=GAIN, eps=0.1, bias=SHIFT),
    Residual(Gate(serial(Dense(), "silu"), Dense(None, bias=0.8)), Dense(scale=0.7)),
    RMSNorm(gain=LAST, eps=1.0),
)


def drawn(rng, width, inputs, perturb):
    """Clean and perturbed outputs of `WHOLE`, of one network and several inputs, by brute force."""

    def both(x, law="gaussian", scale=1.0, bias=0.0, moved=True):
        w = rng.standard_normal((width, width))
        if law == "uniform":
            w = rng.uniform(-math.sqrt(3), math.sqrt(3), (width, width))
        beta = bias * rng.standard_normal((width, 1))
        other = perturb(w) if moved else w
        return [scale * m @ y / math.sqrt(width) + beta for m, y in zip((w, other), x, strict=True)]

    gain, beta, last = (np.resize(a, width)[:, None] for a in (GAIN, SHIFT, LAST))
    x = rng.standard_normal((width, inputs))
    x *= math.sqrt(width) / np.linalg.norm(x, axis=0)
    y = [np.maximum(z, 0) for z in both([x, x], "uniform", 1.3, 0.8)]
    y = [z - z.mean(0) for z in y]
    y = [gain * z / np.sqrt((z**2).mean(0) + 0.1) + beta for z in y]
    gate, up = both(y), both(y, bias=0.8, moved=False)
    hidden = [g * expit(g) * u for g, u in zip(gate, up, strict=True)]
    y = [a + b for a, b in zip(y, both(hidden, scale=0.7), strict=True)]
    before = y
    return before, [last * z / np.sqrt((z**2).mean(0) + 1.0) for z in y]


def statistics(rng, width, networks, perturb):
    """E y², E y'², E δ² at the output, and E δ² before the last norm: one row a network."""
    rows = []
    for _ in range(networks):
        before, (y, other) = drawn(rng, width, 8, perturb)
        rows.append(
            [(y**2).mean(), (other**2).mean(), ((y - other) ** 2).mean(), (before[0] - before[1]).var()]
        )
    return np.array(rows)


@pytest.mark.slow
def test_a_whole_network_by_brute_force():
    """Of widths 90 and 270, extrapolated in 1/width; other networks are told apart."""
    rate, rng = 0.2, np.random.default_rng(11)

    def flipped(w):
        return np.where(rng.random(w.shape) < rate, -w, w)

    def expected(network):
        last = network(SignFlip(rate))
        before = serial(*network.layers[:-1])(SignFlip(rate))
        perturbed = last.energy + 2 * last.alignment + last.signal
        return np.array([last.signal, perturbed, last.energy, before.energy])

    small, large = statistics(rng, 90, 300, flipped), statistics(rng, 270, 100, flipped)
    found = (3 * large.mean(0) - small.mean(0)) / 2
    error = np.sqrt(9 * large.var(0, ddof=1) / len(large) + small.var(0, ddof=1) / len(small)) / 2
    assert np.all(np.abs(found - expected(WHOLE)) < 4.5 * error)
    layers = WHOLE.layers
    silu = serial(Dense(), "silu")
    gates = Gate(silu, Dense(bias=0.8)), Gate(Dense(), Dense(None, bias=0.8)), Gate(silu, Dense(None))
    for other in (
        serial(Dense(scale=1.3), *layers[1:]),
        serial(*layers[:2], LayerNorm(gain=GAIN, eps=0.1), *layers[3:]),
        serial(*layers[:2], LayerNorm(eps=0.1, bias=SHIFT), *layers[3:]),
        *(serial(*layers[:3], Residual(gate, Dense(scale=0.7)), layers[4]) for gate in gates),
        serial(*layers[:4], RMSNorm(gain=LAST)),
    ):
        assert np.any(np.abs(found - expected(other)) > 6 * error)


def test_the_derivative_of_the_last_norm():
    """E‖DN(y)[δ]‖², with the part along y that an eps lets through."""
    block, eps, gain = theory.block(SignFlip(0.1)), 0.3, 1.7
    other = theory.block(MagnitudeShift.matching(SignFlip(0.1)))
    root = block.signal + eps

    def through(of):
        return gain**2 * (of.transverse + of.radial * (eps / root) ** 2) / root

    found = serial(Dense(), "relu", RMSNorm(gain, eps)).ratio(0.1)
    assert found == pytest.approx(through(block) / through(other), rel=1e-12)
    assert abs(found / theory.transverse_ratio(0.1) - 1) > 0.02
    finite = serial(Dense(), "relu", RMSNorm()).ratio(0.1, "finite")
    assert finite == pytest.approx(float(block.sine_squared / other.sine_squared), rel=1e-12)


def test_errors_of_several_matrices_may_differ_in_size():
    """c, v of a product of two independent matrices multiply."""
    small, large = SignFlip(1e-14), SignFlip(0.2)
    for first, second in ((small, large), (large, small)):
        found = serial(Dense(first), Dense(second))(SignFlip(0.1))
        assert found.cosine == pytest.approx((1 - 2e-14) * 0.6, rel=1e-14)
    one = serial(Dense(small), Dense(None), Dense(small))(large)
    assert one.sine_squared == pytest.approx(8e-14, rel=1e-12)


@pytest.mark.parametrize("mode", [jax.jacfwd, pytest.param(jax.jacrev, marks=pytest.mark.slow)])
def test_the_slope_by_the_rate_keeps_its_digits(mode):
    """What is left of two slopes of order 1/p, from layer to layer."""
    network = "dense, relu, rmsnorm, residual(dense, relu, dense)"
    with jax.enable_x64(True):
        slope = jax.jit(mode(lambda p: theory.network_ratio(p, network)))
        for exponent in (33, 10):
            p, h = Fraction(1, 2**exponent), Fraction(1, 2**exponent) / 10**15
            high, low = (
                theory.enclose("network_ratio", rate=x, network=network, digits=50) for x in (p + h, p - h)
            )
            exact = (Fraction(high.midpoint) - Fraction(low.midpoint)) / (2 * h)
            assert float(slope(float(p))) == pytest.approx(float(exact), rel=2e-14)


@pytest.mark.parametrize("own", [0.04, pytest.param(0.01, marks=pytest.mark.slow)])
def test_the_slope_beside_an_error_of_a_matrix_alone(own):
    """Also where both errors are of one size by chance."""

    def law(p, q):
        return serial(Dense(), "relu", Dense(SignFlip(q)), "relu", Dense(SignFlip(own)), "relu").ratio(p)

    with jax.enable_x64(True):
        found = jax.jit(jax.jacfwd(law, (0, 1)))(0.01, own)
        step = 1e-5
        rises = law(0.01 + step, own) - law(0.01 - step, own), law(0.01, own + step) - law(0.01, own - step)
    np.testing.assert_allclose(found, np.array(rises) / (2 * step), rtol=1e-5)


@pytest.mark.slow
def test_derivatives():
    """With respect to the rate and to what a layer holds, and behind both norms."""

    def network(scale, eps):
        return serial(
            Dense(scale=scale, bias=0.2), "relu", LayerNorm(), Residual(Dense(), "relu"), RMSNorm(eps=eps)
        )

    def law(p, scale, eps):
        return jnp.stack([network(scale, eps).ratio(p, difference) for difference in ("linear", "finite")])

    at, step = (0.1, 1.3, 0.05), 1e-4
    slopes = jax.jit(jax.jacfwd(law, (0, 1, 2)))(*at)
    for k, slope in enumerate(slopes):
        up, down = (tuple(x + turn * step * (i == k) for i, x in enumerate(at)) for turn in (1, -1))
        rise = [network(*of[1:]).ratio(of[0], d) for d in ("linear", "finite") for of in (up, down)]
        expected = (np.array(rise[::2]) - rise[1::2]) / (2 * step)
        np.testing.assert_allclose(slope, expected, rtol=2e-3, atol=1e-4)
    found = jax.vmap(serial(Dense(), "relu", LayerNorm()).ratio)(jnp.array([0.1, 0.7]))
    assert found[0] == pytest.approx(float(theory.block_ratio(0.1, norm="layer")), rel=1e-4)
    assert np.isnan(found[1])


def test_without_an_error_or_without_what_is_left():
    network = serial(Dense(), "relu", RMSNorm(), Residual(Dense(), "relu"))
    nothing = network(SignFlip(0.0))
    assert nothing.energy == 0
    assert nothing.cosine == 1
    gone = serial(Dense(), "relu", RMSNorm(), Dense(None))(Prune(1e3))
    assert gone.sine_squared == 1
    assert gone.cosine == 0


def test_a_network_with_gains_is_a_key_as_others_are():
    """A comparison of their arrays would be neither true nor false."""
    one, other = (serial(Dense(), RMSNorm(gain=GAIN), LayerNorm(bias=SHIFT)) for _ in range(2))
    assert one == one
    assert one != other
    assert {one: 1}[one] == 1


def test_what_is_no_network_is_refused():
    for layers, message in (
        ((), "at least one layer"),
        ((Dense,), "a layer or an activation"),
        (("rleu",), "activation in"),
    ):
        with pytest.raises(InvalidInput, match=message):
            serial(*layers)
    for made, message in (
        (lambda: theory.Network(()), "at least one layer"),
        (lambda: theory.Network(("rleu",)), "activation in"),
        (lambda: Residual("relu"), "a Dense in a residual branch"),
        (lambda: Gate("relu", RMSNorm()), "a Dense in one branch"),
        (lambda: Dense("flip"), "perturbation is 'given'"),
        (lambda: Dense(3.0), "moments"),
        (lambda: Dense(scale=0.0), "scale"),
        (lambda: Dense(bias=-1.0), "bias"),
        (lambda: Dense(bias=np.ones(1)), "bias is one number"),
        (lambda: RMSNorm(eps=-1.0), "eps"),
        (lambda: RMSNorm(gain=[0.0, 0.0]), "a gain that is not all 0"),
        (lambda: RMSNorm(gain=[1.0, np.nan]), "gain"),
        (lambda: LayerNorm(bias=np.ones((2, 2))), "bias is a number, or one a feature"),
        (lambda: Dense(weights="gauss"), "weights is one of"),
    ):
        with pytest.raises(InvalidInput, match=message):
            made()
    for network, message in (
        (serial(Dense(), "relu", "relu"), "Gaussian entries before 'relu'"),
        (serial(Dense(), RMSNorm(gain=[1.0, 2.0]), "relu"), "Gaussian entries before"),
        (serial(Dense(None), "relu"), "a difference to compare"),
    ):
        with pytest.raises(InvalidInput, match=message):
            network.ratio(0.1)
    two, three = (Dense(SignFlip(np.full(count, 0.1))) for count in (2, 3))
    for network in (serial(two, three), serial(Gate(two, three)), serial(two, Residual(Dense(None), three))):
        with pytest.raises(InvalidInput, match="perturbations of one shape"):
            network(SignFlip(0.1))
    for rate in (0.0, 0.6):
        with pytest.raises(InvalidInput, match="rate"):
            serial(Dense()).ratio(rate)
    with pytest.raises(InvalidInput, match="difference in"):
        serial(Dense()).ratio(0.1, "both")
    with pytest.raises(Incomplete, match="network"):
        serial(Dense(scale=1e-200), "relu")(SignFlip(0.1))


@pytest.mark.parametrize("scale", [1e-200, 1e200])
@pytest.mark.parametrize("activation", ["silu", theory.smooth("sine", jnp.sin)])
def test_entries_beyond_float64_before_a_quadrature(activation, scale):
    with pytest.raises(Incomplete, match="network"):
        serial(Dense(scale=scale), activation).ratio(0.1)


WRITTEN = """dense(weights=uniform, scale=1.3, bias=0.8), relu,
    layernorm(gain=[0.5, 1.5, 2], eps=0.1, bias=[1.2, -0.4]),
    residual(gate(serial(dense, silu), dense(fixed, bias=0.8)), dense(scale=0.7)),
    rmsnorm(gain=[1, 0.5, 2, 1, 1.5], eps=1)"""


@pytest.mark.parametrize("difference", ["linear", "finite"])
@pytest.mark.parametrize(
    ("text", "network"),
    [
        (WRITTEN, WHOLE),
        ("2*residual(rmsnorm, dense(weights=student_t:5), relu), 3*serial(dense, rmsnorm)", None),
        ("dense(weights='student_t:5'), relu", serial(Dense(weights="student_t:5"), "relu")),
        ("dense(scale=1e-9), relu, rmsnorm(eps=0.5)", serial(Dense(scale=1e-9), "relu", RMSNorm(eps=0.5))),
    ],
)
def test_a_network_as_it_is_written(text, network, difference):
    """The same as in Python, and in its ball; a ball of another network is told apart."""
    found = theory.network_ratio(0.02, text, difference)
    if network is not None:
        assert found == network.ratio(0.02, difference)
    for layers in (text, network or text):
        ball = theory.enclose("network_ratio", rate="0.02", network=layers, difference=difference)
        assert float(found) == pytest.approx(float(ball), rel=1e-12)
    if "eps" in text:
        other = theory.enclose("network_ratio", rate="0.02", network=text + ", dense(scale=2)")
        assert abs(float(other) / float(ball) - 1) > 1e-3


def test_a_ball_has_the_decimals_as_typed():
    """For one matrix A is (1 − p)/(1 − 2/π) whatever its size, and a matrix without an error adds none."""
    ball = theory.enclose("network_ratio", rate="0.1", network="dense(scale=0.1), dense(fixed)", digits=40)
    law = theory.enclose("flip_to_shift_ratio", rate="0.1", digits=40)
    assert ball.midpoint[:40] == law.midpoint[:40]


def test_an_estimate_says_what_was_integrated():
    for text, estimator in (("dense, relu", "recursion"), ("gate(serial(dense, silu), dense)", "quadrature")):
        found = theory.estimate("network_ratio", rate=0.1, network=text)
        assert found.enclosure is not None
        assert found.estimator.endswith(estimator)
        assert found.provenance["arguments"]["network"] == text
    deep = theory.estimate("network_ratio", rate=0.1, network="65*serial(dense, silu)")
    assert deep.enclosure is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one layer"),
        ("dense(", "layers read like"),
        ("dense; relu", "layers read like"),
        ("dense, [relu]", "layers read like"),
        ("__import__('os')", "layers read like"),
        ("lambda: 1", "layers read like"),
        ("(" * 500, "layers read like"),
        ("dense," * 2000, "layers of at most"),
        ("rleu", "activation in"),
        ("dense(0.5)", "layers read like"),
        ("dense(size=2)", "arguments of dense"),
        ("dense(scale=1, scale=2)", "arguments of dense"),
        ("dense, relu # , rmsnorm", "layers read like"),
        ("dense(scale=a)", "scale"),
        ("dense(scale=1+1)", "a number or a name"),
        ("dense(weights=gauss)", "weights is one of"),
        ("gate(dense)", "arguments of gate"),
        ("residual(relu)", "a Dense in a residual branch"),
        ("0*dense", "1 to 1000 layers"),
        ("2.5*dense", "1 to 1000 layers"),
        ("100*serial(100*dense)", "1 to 1000 layers"),
        ("999*residual(dense, relu)", "1 to 1000 layers in all"),
        ("residual(residual(dense))", "outside of inner branches"),
        ("dense(fixed), relu", "a difference to compare"),
        ("dense, relu, relu", "Gaussian entries before"),
    ],
)
def test_what_is_no_network_as_it_is_written(text, message):
    for ask in (
        theory.network_ratio,
        lambda rate, layers: theory.enclose("network_ratio", rate=rate, network=layers),
    ):
        with pytest.raises(InvalidInput, match=message) as caught:
            ask(0.1, text)
        assert "\n" not in str(caught.value)
