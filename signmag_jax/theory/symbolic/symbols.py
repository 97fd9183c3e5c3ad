"""The symbols that the laws are written in, with the assumptions under which they hold."""

import sympy as sp

rate = sp.Symbol("p", positive=True)
"""Rate of sign flips, in (0, 1/2]."""

root_rate = sp.Symbol("s", positive=True)
"""√p, the variable in which the laws of one block are analytic."""

size = sp.Symbol("epsilon", positive=True)
"""Size ε of a magnitude perturbation, in units of the weights' standard deviation."""

magnitude = sp.Symbol("b", positive=True)
"""b = E|w|/σ, below 1: √(2/π) of Gaussian weights."""

overlap = sp.Symbol("c", real=True)
"""c = E[w w']/σ²."""

growth = sp.Symbol("v", positive=True)
"""v = E[w'²]/σ²."""

cosine = sp.Symbol("rho", real=True)
"""Correlation ρ = cos θ of a pair of pre-activations, in [-1, 1]."""

state_cosine = sp.Symbol("q", real=True)
"""Cosine between the clean and the perturbed state of a layer."""

threshold = sp.Symbol("t", positive=True)
"""Threshold of a ternary quantiser, in units of the weights' standard deviation."""

scale = sp.Symbol("a", positive=True)
"""Scale of a quantiser, in units of the weights' standard deviation."""

amplitude = sp.Symbol("alpha", positive=True)
"""Amplitude α of one entry of a unit input."""

width = sp.Symbol("n", positive=True, integer=True)
"""Number of inputs of a layer."""

rows = sp.Symbol("m", positive=True, integer=True)
"""Number of rows (outputs) of the first layer."""

dimension = sp.Symbol("d", positive=True, integer=True)
"""Dimension of the normalised vector."""

depth = sp.Symbol("L", positive=True, integer=True)
"""Number of layers."""

pool_share = sp.Symbol("sigma", positive=True)
"""Share of the pre-activation's variance that a pool of columns carries, Σ_S α_j²‖W_·j‖²/Σ α_j²‖W_·j‖²."""

fraction = sp.Symbol("f", positive=True)
"""Fraction of the columns that are in the pool."""
