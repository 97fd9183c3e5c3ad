"""Quantised blocks of GGUF files, unpacked from the layout of ggml's C structures, number by number.

Written from `ggml-common.h` and `ggml-quants.c`, not from the `gguf` package: that is the other route.
"""

import numpy as np

# Numbers of a block, and its bytes.
BLOCKS = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q8_0": (32, 34),
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
}


def decode(kind: str, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The tensor in float32."""
    _, size = BLOCKS[kind]
    blocks = np.frombuffer(data, np.uint8).reshape(-1, size)
    return _RULES[kind](blocks).astype(np.float32).reshape(shape)


def _half(blocks, at):
    return np.ascontiguousarray(blocks[:, at : at + 2]).view("<f2").astype(np.float32)


def _bf16(blocks):
    wide = np.zeros((blocks.shape[0], 4), np.uint8)
    wide[:, 2:] = blocks
    return wide.view("<f4")


def _q8_0(blocks):
    return _half(blocks, 0) * np.ascontiguousarray(blocks[:, 2:]).view(np.int8).astype(np.float32)


def _nibbles(packed):
    """Low nibbles of all bytes first, then the high ones."""
    return np.concatenate([packed % 16, packed // 16], axis=1).astype(np.float32)


def _q4_0(blocks):
    return _half(blocks, 0) * (_nibbles(blocks[:, 2:]) - 8)


def _q4_1(blocks):
    return _half(blocks, 0) * _nibbles(blocks[:, 4:]) + _half(blocks, 2)


def _scale_and_minimum(packed, j):
    """The 6-bit scale and minimum of sub-block j out of twelve bytes (`get_scale_min_k4`)."""
    if j < 4:
        return packed[:, j] % 64, packed[:, j + 4] % 64
    scale = packed[:, j + 4] % 16 + 16 * (packed[:, j - 4] // 64)
    return scale, packed[:, j + 4] // 16 + 16 * (packed[:, j] // 64)


def _k_blocks(blocks, bits_of):
    """`d·scale·q − dmin·minimum` over eight sub-blocks of 32."""
    out = np.empty((blocks.shape[0], 256), np.float32)
    for j in range(8):
        scale, minimum = _scale_and_minimum(blocks[:, 4:16], j)
        factor = _half(blocks, 0)[:, 0] * scale.astype(np.float32)
        offset = _half(blocks, 2)[:, 0] * minimum.astype(np.float32)
        q = bits_of(blocks, j).astype(np.float32)
        out[:, 32 * j : 32 * j + 32] = factor[:, None] * q - offset[:, None]
    return out


def _four_bits(blocks, j, start):
    packed = blocks[:, start + 32 * (j // 2) : start + 32 * (j // 2) + 32]
    return packed // 16 if j % 2 else packed % 16


def _q4_k(blocks):
    return _k_blocks(blocks, lambda b, j: _four_bits(b, j, 16))


def _q5_k(blocks):
    return _k_blocks(blocks, lambda b, j: _four_bits(b, j, 48) + 16 * (b[:, 16:48] // 2**j % 2))


def _q6_k(blocks):
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32)
    out = np.empty((blocks.shape[0], 256), np.float32)
    for place in range(256):
        half, within = divmod(place, 128)
        quarter, column = divmod(within, 32)
        low = blocks[:, 64 * half + 32 * (quarter % 2) + column]
        low = low // 16 if quarter >= 2 else low % 16
        high = blocks[:, 128 + 32 * half + column] // 4**quarter % 4
        q = (low + 16 * high).astype(np.float32) - 32
        out[:, place] = _half(blocks, 208)[:, 0] * scales[:, place // 16] * q
    return out


_RULES = {
    "F32": lambda blocks: np.ascontiguousarray(blocks).view("<f4"),
    "F16": lambda blocks: _half(blocks, 0),
    "BF16": _bf16,
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
}
