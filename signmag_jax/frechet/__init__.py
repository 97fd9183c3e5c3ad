"""RMSNorm's and LayerNorm's exact derivatives, and the radial and transverse split that they make."""

from .bounds import rmsnorm_operator_norm, rmsnorm_remainder_bound
from .layernorm import layernorm, layernorm_adjoint, layernorm_hessian, layernorm_jvp
from .normalisation import rmsnorm, rmsnorm_adjoint, rmsnorm_hessian, rmsnorm_jvp
from .projection import Split, split

__all__ = [
    "Split",
    "layernorm",
    "layernorm_adjoint",
    "layernorm_hessian",
    "layernorm_jvp",
    "rmsnorm",
    "rmsnorm_adjoint",
    "rmsnorm_hessian",
    "rmsnorm_jvp",
    "rmsnorm_operator_norm",
    "rmsnorm_remainder_bound",
    "split",
]
