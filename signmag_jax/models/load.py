"""`load`: name or path to a language model ready to be measured."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from signmag_jax.evidence import invalid

from .config import ModelConfig
from .config_gguf import config_from_gguf
from .config_hub import config_from_hub
from .gguf_file import GGUFFile
from .llama import Llama
from .resolve import resolve
from .sources import TensorSource, safetensors_in
from .tokenizer import Tokenizer, tokenizer_from_gguf, tokenizer_from_hub
from .weights import LoadReport, load_parameters, report_of

DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A loaded model: architecture, parameters, tokenizer and where it all came from."""

    config: ModelConfig
    params: dict[str, Any]
    tokenizer: Tokenizer
    report: LoadReport

    @property
    def module(self) -> Llama:
        """The Flax NNX module that holds these parameters."""
        return Llama.of_parameters(self.config, self.params)

    def replace(self, **changes: Any) -> LanguageModel:
        """A copy with some fields changed (`params=` for edited weights)."""
        return dataclasses.replace(self, **changes)


def load(
    name_or_path: str | Path | None = None, *, dtype: Any = jnp.float32, revision: str | None = None
) -> LanguageModel:
    """Load a Llama-family model without PyTorch, pickle or remote code.

    Args:
      name_or_path: None for the embedded SmolLM2-135M-Instruct; a .gguf file; a folder in hub format
        (config.json, safetensors, tokenizer); or the name of a hub repository.
      dtype: of the parameters in memory.
      revision: branch, tag or commit of a hub repository.

    Raises:
      MissingResource: if files are absent, damaged or cannot be fetched.
      InvalidInput: if the model is not one that the port computes exactly.
    """
    try:
        known = jnp.dtype(dtype).name in DTYPES
    except TypeError:
        known = False
    if not known:
        raise invalid(f"dtype in {DTYPES}", str(dtype), "weights are floating-point numbers")
    if jax.dtypes.canonicalize_dtype(dtype) != jnp.dtype(dtype):
        raise invalid("jax_enable_x64 for float64", False, "set JAX_ENABLE_X64=1, or load in float32")
    found = resolve(name_or_path, revision)
    if found.path.is_file():
        file = GGUFFile(found.path)
        config, source = config_from_gguf(file.metadata, file.shapes), file
        tokenizer = tokenizer_from_gguf(file.metadata)
    else:
        config = config_from_hub(found.path)
        source: TensorSource = safetensors_in(found.path)
        tokenizer = tokenizer_from_hub(found.path)
    if tokenizer.size > config.vocabulary:
        raise invalid(
            "tokenizer ids < vocabulary of the model",
            (tokenizer.size, config.vocabulary),
            "the tokenizer belongs to another model",
        )
    params, ignored = load_parameters(config, source, dtype)
    return LanguageModel(config, params, tokenizer, report_of(source, params, ignored, found.origin))
