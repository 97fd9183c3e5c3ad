"""The Llama family in Flax NNX: loading, tokenizer, text, and a forward pass with hooks on its weights."""

from . import text
from .block import MATRICES, SITE_OF, SITES, Block, Observe, Transform
from .config import ModelConfig, Rope
from .forward import hidden, logits, next_token_nll, token_nll
from .llama import Llama
from .load import LanguageModel, load
from .nll import check_windows, window_nll
from .tokenizer import Tokenizer
from .weights import LoadReport

__all__ = [
    "MATRICES",
    "SITES",
    "SITE_OF",
    "Block",
    "LanguageModel",
    "Llama",
    "LoadReport",
    "ModelConfig",
    "Observe",
    "Rope",
    "Tokenizer",
    "Transform",
    "check_windows",
    "hidden",
    "load",
    "logits",
    "next_token_nll",
    "text",
    "token_nll",
    "window_nll",
]
