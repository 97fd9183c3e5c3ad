"""torchao: `FqnToConfig`, a configuration for each module by its name, and the list of what is left alone."""

from __future__ import annotations

from typing import Any

from signmag_jax.evidence.files import strict_json
from signmag_jax.measure.widths import GROUP

from .decision import BITS, HEAD, Decision, module

FILE = "torchao.json"
REST = r"re:model\.layers\.\d+\..*"
USE = (
    f"transformers.TorchAoConfig.from_dict(json.load(open('{FILE}'))['config']), or "
    f"torchao.core.config.config_from_dict(json.load(open('{FILE}'))['config']['quant_type']['default']).",
    "What stands at the pattern every other matrix of the layers gets: put your own there.",
)


def files(decision: Decision) -> dict[str, str]:
    """The configuration as torchao and transformers store it."""
    modules: dict[str, Any] = {module(at): None for at in decision.whole}
    # A module's own name goes before a pattern.
    widths = {module(at): integers(one.bits, one.group) for at, one in decision.planned.items()}
    # Of patterns the first that fits.
    rest = {REST + name: integers(BITS, None) for name in decision.by_row}
    rest[f"{REST}_proj"] = integers(BITS, GROUP)
    table = {**modules, **(widths or rest)}
    config = {
        "quant_method": "torchao",
        "quant_type": {"default": {"_type": "FqnToConfig", "_version": 1, "_data": {"fqn_to_config": table}}},
        "modules_to_not_convert": [HEAD, *modules],
    }
    return {FILE: strict_json({"notes": [*decision.notes_of_groups, *USE], "config": config})}


def integers(bits: int, group: int | None) -> dict[str, Any]:
    """Integers of so many bits with a scale for each group, or for each row, weights only."""
    by_group = {"_type": "PerGroup", "_version": 1, "_data": {"group_size": group}}
    by_row = {"_type": "PerAxis", "_version": 1, "_data": {"axis": 0}}
    return {
        "_type": "IntxWeightOnlyConfig",
        "_version": 2,
        "_data": {
            "weight_dtype": {"_type": "torch.dtype", "_data": f"int{bits}"},
            "granularity": by_group if group else by_row,
        },
    }
