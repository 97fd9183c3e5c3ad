"""transformers: lists of modules that bitsandbytes, quanto and AWQ leave as they are.

The loader takes a module out whose name begins or ends with an entry. HQQ knows kinds of layers and not
single ones, and GPTQ's configuration whole kinds too: GPTQModel's `dynamic` names single modules.
"""

from __future__ import annotations

from signmag_jax.evidence.files import strict_json

from .decision import BITS, HEAD, Decision, module

FILE = "transformers.json"
USE = (
    f"transformers.BitsAndBytesConfig(**json.load(open('{FILE}'))['configs']['BitsAndBytesConfig']), and so "
    "for the others; bits and types beside the list are yours to change.",
    f"A list that is given replaces the default one, so {HEAD} stands in it.",
    "HQQ and GPTQ in transformers name kinds of matrices, not single ones: use gptqmodel.json for GPTQ.",
)


def files(decision: Decision) -> dict[str, str]:
    """One file with the list, and a configuration of each loader around it."""
    skipped = [HEAD, *map(module, decision.whole)]
    nf4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    configs = {
        "BitsAndBytesConfig": {**nf4, "llm_int8_skip_modules": skipped},
        "QuantoConfig": {"weights": f"int{BITS}", "modules_to_not_convert": skipped},
        "AwqConfig": {"bits": BITS, "modules_to_not_convert": skipped},
    }
    notes = [*decision.notes, *USE]
    return {FILE: strict_json({"notes": notes, "modules_to_not_convert": skipped, "configs": configs})}
