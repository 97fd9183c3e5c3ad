"""Quantised blocks for test files: `gguf`'s own where it can quantise, random valid ones where it cannot."""

import gguf
import numpy as np

# By type: where the half-precision scales of a block stand, and values that give weights of about 0.05.
_SCALES = {
    "Q4_K": ((0, 2e-4), (2, 1.5e-3)),
    "Q5_K": ((0, 1e-4), (2, 1.5e-3)),
    "Q6_K": ((208, 5e-5),),
}


def pack(kind: str, values: np.ndarray) -> np.ndarray:
    """Rows of bytes of that type: of these values, or of random ones in the same shape."""
    if kind not in _SCALES:
        return gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    per_block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    rng = np.random.default_rng(values.size)
    blocks = rng.integers(0, 256, (values.size // per_block, size), dtype=np.uint8)
    for place, scale in _SCALES[kind]:
        halves = (scale * rng.uniform(0.5, 1.5, len(blocks))).astype("<f2")
        blocks[:, place : place + 2] = halves[:, None].view(np.uint8)
    return blocks.reshape(values.shape[0], -1)
