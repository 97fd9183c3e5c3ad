"""SentencePiece's BPE out of GGUF metadata, against its definition and the rules of transformers."""

import random

import pytest
import tokenizers
import transformers

from signmag_jax import models
from signmag_jax.evidence import InvalidInput
from signmag_jax.models.tokenizer_gguf import tokenizer_from_gguf

SPACE = "\u2581"
TEXT = models.text.load().content[:60_000]
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6


@pytest.fixture(scope="module")
def metadata():
    """A vocabulary as Llama 2 has it: three special tokens, 256 bytes, then pieces in order of merging."""
    backend = tokenizers.Tokenizer(tokenizers.models.BPE())
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(split=True)
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=700, show_progress=False)
    backend.train_from_iterator([TEXT], trainer)
    learned = sorted(backend.get_vocab().items(), key=lambda item: item[1])
    pieces = [piece for piece, _ in learned if len(piece) > 1] + [p for p, _ in learned if len(p) == 1]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces)]
    scores = [0.0] * 259 + [-float(rank) for rank in range(len(pieces))]
    assert len(pieces) > 600
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.bos_token_id": 1,
    }


def by_hand(metadata, text):
    """Of all neighbours the pair of the highest score is joined, leftmost first; bytes for the rest."""
    tokens = metadata["tokenizer.ggml.tokens"]
    ids = {token: i for i, token in enumerate(tokens)}
    score = dict(zip(tokens, metadata["tokenizer.ggml.scores"], strict=True))
    usable = {t for t, k in zip(tokens, metadata["tokenizer.ggml.token_type"], strict=True) if k == NORMAL}
    symbols = list(SPACE + text.replace(" ", SPACE))
    while True:
        pairs = [
            (-score[symbols[i] + symbols[i + 1]], i)
            for i in range(len(symbols) - 1)
            if symbols[i] + symbols[i + 1] in usable
        ]
        if not pairs:
            break
        _, i = min(pairs)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    out = [1]
    for symbol in symbols:
        found = [symbol] if symbol in usable else [f"<0x{byte:02X}>" for byte in symbol.encode()]
        out += [ids[piece] for piece in found]
    return out


def test_tokens_are_those_of_the_definition(metadata):
    ours = tokenizer_from_gguf(metadata)
    rng = random.Random(5)
    texts = [TEXT[start : start + 90] for start in (0, 5_000, 17_003, 31_337)]
    texts += ["", " ", "  two  spaces ", "naïve 日本\n\ttabs", SPACE, "unk <0x41>"]
    texts += ["".join(rng.choice("etaoin .,\n(é") for _ in range(40)) for _ in range(40)]
    for text in texts:
        expected = by_hand(metadata, text) if text else [1]
        assert ours.encode(text).tolist() == expected, text
        assert ours.decode(ours.encode(text)[1:]) == text.replace(SPACE, " ")
    assert len(ours.encode(texts[1])) < 60  # pieces were joined
    turned = metadata | {"tokenizer.ggml.scores": metadata["tokenizer.ggml.scores"][::-1]}
    assert tokenizer_from_gguf(turned).encode(texts[1]).tolist() != ours.encode(texts[1]).tolist()


def test_transformers_own_tokenizer_of_the_same_pieces_agrees(metadata):
    tokens, scores = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.scores"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    pieces = dict(zip(tokens[259:], scores[259:], strict=True))
    merges = transformers.tokenization_utils_base.generate_merges(vocabulary, pieces)
    theirs = transformers.LlamaTokenizer(vocab=vocabulary, merges=merges)
    ours = tokenizer_from_gguf(metadata)
    for start in range(0, 50_000, 5_000):
        text = TEXT[start : start + 200].strip()
        assert ours.encode(text)[1:].tolist() == theirs(text, add_special_tokens=False).input_ids


def test_control_tokens_are_found_in_a_text_and_a_prefix_may_be_switched_off(metadata):
    ours = tokenizer_from_gguf(metadata)
    assert ours.encode("</s>").tolist() == [1, 2]
    bare = metadata | {"tokenizer.ggml.add_space_prefix": False, "tokenizer.ggml.add_bos_token": False}
    plain = tokenizer_from_gguf(bare)
    assert plain.bos is None
    assert plain.encode("e").tolist() == [metadata["tokenizer.ggml.tokens"].index("e")]
    assert plain.decode(plain.encode(" e")) == " e"


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"scores": None}, "tokenizer.ggml.scores a list of float"),
        ({"scores": [0.0]}, "as many scores as tokens"),
        ({"bos_token_id": None}, "bos_token_id a token where one is added"),
        ({"bos_token_id": 10**9}, "bos_token_id a token where one is added"),
    ],
)
def test_incomplete_metadata_is_named(metadata, changes, pattern):
    with pytest.raises(InvalidInput, match=pattern):
        tokenizer_from_gguf(metadata | {f"tokenizer.ggml.{key}": value for key, value in changes.items()})
