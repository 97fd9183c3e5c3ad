"""A decision in the formats of the tools that use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from signmag_jax.evidence import InvalidInput, invalid
from signmag_jax.evidence.files import writable_folder, write_atomic
from signmag_jax.measure import Mask
from signmag_jax.models import MATRICES, LanguageModel, ModelConfig
from signmag_jax.models.fused import FUSED_FAMILIES
from signmag_jax.models.imatrix import ImportanceMatrix

from . import gptqmodel, llama_cpp, llm_compressor, torchao, transformers_skips
from .decision import Decision, check_stored, tensor
from .mask import matrices_of
from .plan import Widths
from .reading import family_of, files_of

FORMATS: Mapping[str, Callable[[Decision], dict[str, str]]] = {
    "llama.cpp": llama_cpp.files,
    "transformers": transformers_skips.files,
    "torchao": torchao.files,
    "llm-compressor": llm_compressor.files,
    "gptqmodel": gptqmodel.files,
}
"""What each format writes: text by file name."""
OF_PLANS = tuple(name for name in FORMATS if name != "transformers")
"""Formats that know a width for each matrix; a list of modules does not."""

IMATRIX = "imatrix.gguf"
IMATRIX_NOTE = (
    "Mean squares of the inputs of every matrix, as llama-imatrix writes them: llama-quantize weighs errors "
    "by them. They keep no single weight: the mask is not in them."
)


def write(decision: Decision, out: Path, formats: Sequence[str] = tuple(FORMATS)) -> tuple[Path, ...]:
    """Write a decision in some formats, each file whole or not at all.

    Args:
      decision, formats: as in `contents`.
      out: the folder, made if it is not there.

    Returns:
      The files.

    Raises:
      InvalidInput: as `contents`.
      MissingResource: if the folder cannot be written.
    """
    texts = contents(decision, formats)
    folder = writable_folder(out)
    for name, text in texts.items():
        write_atomic(folder / name, text)
    return tuple(folder / name for name in texts)


def contents(decision: Decision, formats: Sequence[str] = tuple(FORMATS)) -> dict[str, str]:
    """What a decision is in some formats, by file name.

    Args:
      decision: from a mask, `decide`, or a plan, `Widths.decision`.
      formats: names in `FORMATS`; by default all.

    Raises:
      InvalidInput: for an unknown format, one that knows no widths for a plan, or matrices that the model's
        checkpoints do not store by themselves.
    """
    if strange := [name for name in formats if name not in FORMATS]:
        raise invalid(f"formats in {tuple(FORMATS)}", strange, "name some of them")
    if decision.planned and (without := [name for name in formats if name not in OF_PLANS]):
        raise invalid(f"formats in {OF_PLANS} for a plan", without, "lists of modules know no widths")
    check_stored(decision.family, (*decision.whole, *decision.planned))
    return {name: text for each in formats for name, text in FORMATS[each](decision).items()}


def write_imatrix(importance: ImportanceMatrix, out: Path) -> Path:
    """Write what `measure.importance` found; llama.cpp reads the file with `--imatrix`.

    Raises:
      MissingResource: if the folder cannot be written.
    """
    path = writable_folder(out) / IMATRIX
    importance.write(path, IMATRIX_NOTE)
    return path


def check_model(source: Mask | Widths, config: ModelConfig) -> None:
    """Refuse a model that a mask or a plan was not made for, by its layers and shapes; no weights are read.

    Raises:
      InvalidInput: naming the first matrix that the model has not, or has in another shape, or its family, if
        that stores matrices as parts of others and the other does not.
    """
    family = family_of(source.provenance)
    if family and (family in FUSED_FAMILIES) != (config.family in FUSED_FAMILIES):
        raise invalid(
            f"a model of {family}, as was measured", config.family, "give the model that was measured"
        )
    named = matrices_of(source) if isinstance(source, Mask) else source.planned
    for layer, name in sorted(named):
        if layer >= config.layers:
            raise invalid(
                f"layers below {config.layers}", tensor((layer, name)), "give the model that was measured"
            )
        shape = config.shapes()[name]
        if source.shapes.get(name, shape) != shape:
            raise invalid(
                f"{name} of {' × '.join(map(str, shape))} weights, as the model has it",
                " × ".join(map(str, source.shapes[name])),
                "give the model that was measured",
            )


def check_loaded(source: Mask | Widths, model: LanguageModel) -> None:
    """Refuse a model whose files are not those that were measured, or of which no imatrix names the matrices.

    Raises:
      InvalidInput: naming the files, or a matrix that is not stored by itself.
    """
    every = [(0, name) for name in MATRICES]
    check_stored(model.config.family, every, "make the imatrix with llama-imatrix, and name another --format")
    files = files_of(source.provenance)
    if files and files != model.report.files:
        raise InvalidInput(
            f"it was measured on {_shown(files)}, the model is {_shown(model.report.files)}: "
            "give --model and --revision as they were measured"
        )


def _shown(files: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({sha256[:8]})" for name, sha256 in files.items()) or "a model without files"
