"""The Llama family in Flax NNX: loading, tokenizer, text, and a forward pass with hooks on its weights."""

from . import text
from .config import ModelConfig, Rope
from .decoder_layer import MATRICES, SITE_OF, SITES, DecoderLayer, Observe, Transform
from .forward import hidden, logits, next_token_nll, token_nll
from .imatrix import ImportanceMatrix, read_imatrix
from .llama import Llama
from .load import Checkpoint, LanguageModel, check_dtype, config_alone, load, open_checkpoint, shard
from .nll import check_window, check_windows, window_nll
from .prefixes import Prefixes
from .reading import Reading, open_reading
from .sharding import fetch, make_mesh
from .tokenizer import Tokenizer
from .weights import LoadReport

__all__ = [
    "MATRICES",
    "SITES",
    "SITE_OF",
    "Checkpoint",
    "DecoderLayer",
    "ImportanceMatrix",
    "LanguageModel",
    "Llama",
    "LoadReport",
    "ModelConfig",
    "Observe",
    "Prefixes",
    "Reading",
    "Rope",
    "Tokenizer",
    "Transform",
    "check_dtype",
    "check_window",
    "check_windows",
    "config_alone",
    "fetch",
    "hidden",
    "load",
    "logits",
    "make_mesh",
    "next_token_nll",
    "open_checkpoint",
    "open_reading",
    "read_imatrix",
    "shard",
    "text",
    "token_nll",
    "window_nll",
]
