"""Token ids of GGUF files against llama.cpp itself, on hostile texts, for every known pre-tokenizer."""

import by_llamacpp
import hostile
import numpy as np
import pytest
import test_gguf_header
import test_sentence_pieces
from test_sentence_pieces import metadata as pieces  # noqa: F401 - a fixture

from signmag_jax.evidence import InvalidInput
from signmag_jax.models.tokenizer_gguf import tokenizer_from_gguf
from signmag_jax.models.word_cuts import CUTS

NAMES = [name for cut in CUTS for name in cut.names]
SIZES = {"context_length": 64, "embedding_length": 32, "feed_forward_length": 32, "block_count": 1}
SIZES |= {"attention.head_count": 4, "attention.head_count_kv": 2, "rope.dimension_count": 8}
KINDS = {str: "string", int: "uint32", bool: "bool", list: "array"}


def write(path, metadata):
    """A model of one tiny layer of zeros with that tokenizer, which llama.cpp loads."""
    vocabulary = len(metadata["tokenizer.ggml.tokens"])
    fields = [(f"llama.{name}", "uint32", size) for name, size in SIZES.items()]
    fields += [("llama.attention.layer_norm_rms_epsilon", "float32", 1e-5)]
    fields += [(key, KINDS[type(value)], value) for key, value in metadata.items()]
    shapes = {"token_embd": (vocabulary, 32), "output_norm": (32,), "output": (vocabulary, 32)}
    layer = {
        "attn_norm": (32,),
        "ffn_norm": (32,),
        "attn_q": (32, 32),
        "attn_k": (16, 32),
        "attn_v": (16, 32),
    }
    layer |= {"attn_output": (32, 32), "ffn_gate": (32, 32), "ffn_up": (32, 32), "ffn_down": (32, 32)}
    shapes |= {f"blk.0.{name}": shape for name, shape in layer.items()}
    tensors = [(f"{name}.weight", np.zeros(shape, np.float32), "F32") for name, shape in shapes.items()]
    return test_gguf_header.write(path, tensors, "llama", fields)


def theirs(paths):
    """llama.cpp's ids of every hostile text by each file."""
    return by_llamacpp.asked("ids", paths, hostile.TEXTS)


def differ(metadata, ids):
    """The texts whose ids are not those."""
    ours = tokenizer_from_gguf(metadata)
    return [
        text
        for text, expected in zip(hostile.TEXTS, ids, strict=True)
        if ours.encode(text).tolist() != expected
    ]


@pytest.fixture(scope="module")
def by_name(tmp_path_factory):
    """The metadata with each pre-tokenizer's name, and llama.cpp's ids of the hostile texts by it."""
    folder, plain = tmp_path_factory.mktemp("pre"), hostile.metadata()
    metadata = {name: plain | {"tokenizer.ggml.pre": name} for name in NAMES}
    paths = [write(folder / f"{name}.gguf", metadata[name]) for name in NAMES]
    return {name: (metadata[name], ids) for name, ids in zip(NAMES, theirs(paths), strict=True)}


@pytest.mark.parametrize("name", NAMES)
def test_a_text_is_cut_as_llama_cpp_cuts_it(by_name, name):
    assert differ(*by_name[name]) == []


def test_the_texts_tell_every_way_of_cutting_from_every_other(by_name):
    firsts = [cut.names[0] for cut in CUTS]
    for one in firsts:
        for other in firsts:
            metadata = by_name[one][0] | {"tokenizer.ggml.pre": other}
            assert (differ(metadata, by_name[one][1]) == []) == (one == other), (one, other)


@pytest.mark.parametrize("prefix", [True, False])
def test_sentence_pieces_are_joined_as_llama_cpp_joins_them(tmp_path, pieces, prefix):  # noqa: F811
    metadata = pieces | {"tokenizer.ggml.add_space_prefix": prefix, "tokenizer.ggml.unknown_token_id": 0}
    metadata["tokenizer.ggml.eos_token_id"] = 2
    (ids,) = theirs([write(tmp_path / "m.gguf", metadata)])
    assert differ(metadata, ids) == []
    other = metadata | {"tokenizer.ggml.add_space_prefix": not prefix}
    assert len(differ(other, ids)) > 10


@pytest.mark.parametrize("pre", [None, "default", "nonsense", ["gpt-2"]])
def test_a_pre_tokenizer_that_says_nothing_is_refused_by_name(pre):
    metadata = hostile.metadata(400) | {"tokenizer.ggml.pre": pre}
    if pre is None:
        del metadata["tokenizer.ggml.pre"]
    with pytest.raises(InvalidInput, match=r"tokenizer\.ggml\.pre"):
        tokenizer_from_gguf(metadata)


def test_scores_that_order_nothing_and_tokens_that_recur_are_refused(pieces):  # noqa: F811
    scores = [-1000.0] * len(pieces["tokenizer.ggml.tokens"])
    with pytest.raises(InvalidInput, match=r"scores that order the tokens.*-1000\.0 for each of"):
        tokenizer_from_gguf(pieces | {"tokenizer.ggml.scores": scores})
    tokens = [*pieces["tokenizer.ggml.tokens"][:-1], "<s>"]
    with pytest.raises(InvalidInput, match=r"each token once.*'<s>' twice"):
        tokenizer_from_gguf(pieces | {"tokenizer.ggml.tokens": tokens})


def test_the_unknown_token_is_one_token(pieces):  # noqa: F811
    assert tokenizer_from_gguf(pieces).encode("<unk>").tolist() == [1, 0]
    assert test_sentence_pieces.by_hand(pieces, "<unk>") != [1, 0]  # spelled out, it would be several


OF_OTHERS = ("</s>", "[EOS]", "<|fim_prefix|>", "<fim_suffix>", "[PAD]", "<|file_sep|>", "<|start|>")
OF_OTHERS += ("<|other|>",)
AMONG = ["".join(OF_OTHERS), *(f"a {text} b{text}c {text}\n" for text in OF_OTHERS)]


def with_others(**parts):
    """The metadata with such tokens as ordinary ones, and parts of theirs that the file itself gives away."""
    plain = hostile.metadata(600) | {"tokenizer.ggml.pre": "gpt-2"}
    plain["tokenizer.ggml.tokens"] = [*plain["tokenizer.ggml.tokens"], *OF_OTHERS]
    plain["tokenizer.ggml.token_type"] = [*plain["tokenizer.ggml.token_type"], *[1] * len(OF_OTHERS)]
    return plain | {f"tokenizer.ggml.{part}_token_id": token for part, token in parts.items()}


@pytest.mark.parametrize("parts", [{}, {"fim_pre": 5, "suffix": 5}], ids=["none", "two given away"])
def test_tokens_that_llama_cpp_takes_for_special_by_their_text(tmp_path, parts):
    metadata = with_others(**parts)
    (expected,) = by_llamacpp.asked("ids", [write(tmp_path / "m.gguf", metadata)], AMONG)
    ours = tokenizer_from_gguf(metadata)
    assert [ours.encode(text).tolist() for text in AMONG] == expected
    whole = {metadata["tokenizer.ggml.tokens"][token] for ids in expected for token in ids} & {*OF_OTHERS}
    assert whole == {*OF_OTHERS} - {"<|other|>", *(("<|fim_prefix|>", "<fim_suffix>") if parts else ())}
    assert [token in ours.remarks[0] for token in OF_OTHERS] == [token in whole for token in OF_OTHERS]


def test_special_tokens_of_phi_3_swallow_the_spaces_behind_them(tmp_path, pieces):  # noqa: F811
    metadata = pieces | {"general.name": "Phi-3 mini", "tokenizer.ggml.unknown_token_id": 0}
    metadata |= {
        "tokenizer.ggml.tokens": [*pieces["tokenizer.ggml.tokens"], "<|endoftext|>", "<|user|>"],
        "tokenizer.ggml.token_type": [*pieces["tokenizer.ggml.token_type"], 3, 3],
        "tokenizer.ggml.scores": [*pieces["tokenizer.ggml.scores"], -1000.0, -1000.0],
        "tokenizer.ggml.eos_token_id": 2,
    }
    texts = [f"a {token} \n b{token}c" for token in ("<|user|>", "<|endoftext|>", "</s>", "<s>", "<unk>")]
    (expected,) = by_llamacpp.asked("ids", [write(tmp_path / "m.gguf", metadata)], texts)
    ours = tokenizer_from_gguf(metadata)
    assert [ours.encode(text).tolist() for text in texts] == expected
    other = tokenizer_from_gguf(metadata | {"general.name": "another"})
    differing = [i for i, text in enumerate(texts) if other.encode(text).tolist() != expected[i]]
    assert differing == [0, 2]
