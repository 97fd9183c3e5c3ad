"""Name or path to a language model: `open_checkpoint` describes it, `load` reads its weights as well."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from signmag_jax.evidence import invalid
from signmag_jax.evidence.files import user_path

from .bitnet import TernarySource
from .config import ModelConfig
from .config_gguf import config_from_gguf
from .config_hub import described_by_hub
from .filled import filled
from .fused import FUSED_FAMILIES, SplitSource
from .gguf_file import GGUFFile
from .llama import Llama
from .memory import check_memory
from .names import strangers
from .resolve import is_local, resolve
from .sharding import check_mesh, describe, parameter_shardings
from .sources import TensorSource, safetensors_in
from .tokenizer import Tokenizer, tokenizer_from_hub
from .tokenizer_gguf import tokenizer_from_gguf
from .weights import LoadReport, load_parameters, report_of, with_own_head

DTYPES = ("float32", "bfloat16", "float16", "float64")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A loaded model: architecture, parameters, tokenizer and where it all came from."""

    config: ModelConfig
    params: dict[str, Any] = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    report: LoadReport

    @property
    def module(self) -> Llama:
        """The Flax NNX module that holds these parameters."""
        return Llama.of_parameters(self.config, self.params)

    def replace(self, **changes: Any) -> LanguageModel:
        """A copy with some fields changed (`params=` for edited weights)."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model that was found and described, its weights not read yet: what options can be judged by."""

    config: ModelConfig
    tokenizer: Tokenizer
    source: TensorSource
    origin: dict[str, Any]
    remarks: tuple[str, ...] = ()
    """What its config says that makes no difference here."""

    def check_memory(self, dtype: Any = jnp.float32, mesh: Mesh | None = None) -> None:
        """Refuse weights that would not fit; see `load`.

        Raises:
          MissingResource: naming what they take and what is there.
        """
        check_memory(self.config, jnp.dtype(dtype), mesh)

    def load(self, dtype: Any = jnp.float32, mesh: Mesh | None = None) -> LanguageModel:
        """Read the weights, in `dtype`, onto the default device or over a mesh; see `load`.

        Raises:
          InvalidInput: for an unknown dtype or axis of the mesh, or tensors that are not those of the
            architecture.
          MissingResource: if they do not fit in memory.
        """
        check_dtype(dtype)
        mesh = None if mesh is None else check_mesh(mesh)
        params, ignored = load_parameters(self.config, self.source, dtype, mesh)
        notes = (*self.remarks, *self.source.notes, *self.tokenizer.remarks, *vocabulary_notes(self))
        if left_out := strangers(ignored, self.source.style):
            shown = ", ".join(left_out[:5]) + (" ..." if len(left_out) > 5 else "")
            notes += (f"{len(left_out)} tensors that the architecture does not have are left out: {shown}",)
        if mesh is not None:
            notes += (describe(self.config, mesh),)
        report = report_of(self.source, params, ignored, self.origin, notes)
        return LanguageModel(self.config, params, self.tokenizer, report)


def load(
    name_or_path: str | Path | None = None,
    *,
    dtype: Any = jnp.float32,
    revision: str | None = None,
    file: str | None = None,
    mesh: Mesh | None = None,
) -> LanguageModel:
    """Load a Llama-family model without PyTorch, pickle or remote code.

    Args:
      name_or_path: None for the embedded SmolLM2-135M-Instruct; a .gguf file; a folder in hub format
        (config.json, safetensors, tokenizer); or the name of a hub repository.
      dtype: of the parameters in memory.
      revision: branch, tag or commit of a hub repository.
      file: of the GGUF files of a repository or folder, the one to take.
      mesh: devices with the axes "data" and "tensor" (see `make_mesh`): the weights are spread over "tensor"
        as they are read, and every forward pass spreads its windows over "data" where their number divides.

    Raises:
      MissingResource: if files are absent, damaged or cannot be fetched.
      InvalidInput: if the model is not one that the port computes exactly.
    """
    check_dtype(dtype)
    return open_checkpoint(name_or_path, revision, file).load(dtype, mesh)


def shard(model: LanguageModel, mesh: Mesh) -> LanguageModel:
    """A loaded model with its parameters spread over a mesh, as `load(..., mesh=mesh)` would spread them.

    Raises:
      InvalidInput: if the axes of the mesh are not "data" and "tensor".
    """
    mesh = check_mesh(mesh)
    params = jax.device_put(model.params, parameter_shardings(model.config, mesh))
    notes = (*model.report.notes, describe(model.config, mesh))
    return model.replace(params=params, report=dataclasses.replace(model.report, notes=notes))


def check_dtype(dtype: Any) -> None:
    """Refuse what weights cannot be loaded in.

    Raises:
      InvalidInput: for an unknown dtype, or float64 without `jax_enable_x64`.
    """
    try:
        known = jnp.dtype(dtype).name in DTYPES
    except TypeError:
        known = False
    if not known:
        raise invalid(f"dtype in {DTYPES}", str(dtype), "weights are floating-point numbers")
    # Without the flag JAX would make float32 of it and say so only in a warning.
    if jax.dtypes.canonicalize_dtype(dtype) != jnp.dtype(dtype):
        raise invalid("jax_enable_x64 for float64", False, "set JAX_ENABLE_X64=1, or load in float32")


def open_checkpoint(
    name_or_path: str | Path | None = None, revision: str | None = None, file: str | None = None
) -> Checkpoint:
    """Find a model and read everything about it except its weights; arguments and errors as in `load`."""
    resolved = resolve(name_or_path, revision, file)
    if resolved.path.is_file():
        stored = GGUFFile(resolved.path)
        config, remarks = config_from_gguf(stored.metadata, stored.shapes, stored.rope_divisors()), ()
        source: TensorSource = stored
        tokenizer = tokenizer_from_gguf(stored.metadata)
    else:
        config, remarks, ternary = described_by_hub(resolved.path)
        source = safetensors_in(resolved.path, config.tied)
        if ternary is not None:
            source = TernarySource(source, ternary)
        tokenizer = tokenizer_from_hub(resolved.path)
    if config.family in FUSED_FAMILIES:
        source = SplitSource(source, config)
    config, said = with_own_head(config, source)
    remarks += said
    return Checkpoint(config, tokenizer, filled(source, config), resolved.origin, remarks)


def config_alone(name_or_path: str | Path | None) -> ModelConfig | None:
    """The architecture of a folder that holds config.json and no weights: enough to tell what a run takes.

    None for whatever else there is, or is not.

    Raises:
      InvalidInput, MissingResource: for a config that the port does not compute.
    """
    if not is_local(name_or_path):
        return None
    folder = user_path(str(name_or_path))
    weights = ("*.safetensors", "*.safetensors.index.json", "*.gguf", "*.bin", "*.pt", "*.pth")
    if not (folder / "config.json").is_file() or any(any(folder.glob(each)) for each in weights):
        return None
    return described_by_hub(folder)[0]


def vocabulary_notes(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What to say of a tokenizer that knows more or far fewer tokens than the model."""
    known, vocabulary = checkpoint.tokenizer.size, checkpoint.config.vocabulary
    if known > vocabulary:
        return (f"the tokenizer knows {known} tokens, the model {vocabulary}: a text with others is refused",)
    # Vocabularies are padded to round numbers; a tokenizer of another model knows far fewer.
    if known < 0.95 * vocabulary:
        return (f"the tokenizer knows {known} of {vocabulary} tokens",)
    return ()
