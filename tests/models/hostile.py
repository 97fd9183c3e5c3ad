"""Texts on which two ways of cutting into tokens differ, and a vocabulary that shows where a text was cut."""

import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

TEXTS = [
    "",
    " ",
    "    ",
    "A plain sentence, and another.",
    "   three before, three after   ",
    "one\r\ntwo\r\n\r\nthree\rfour",
    "\n\n\nx\n y\n\n  z \n",
    "\tif a:\n\t\treturn b  \t# c",
    " \t \n \u2028\u2029 \x0b\x0c end",
    "nul\x00bell\x07\x1b[0m\x7f",
    "1 22 333 4444 55555 0123456789" * 2,
    "v2.0.1-rc3, 2021-11-09, 1,234,567.89, ٣٤٥ ১২৩ ½ ²³ Ⅷ",
    "  7   88    999\n12  3",
    "I'm you'RE we'll don't it's 'Tis X'S o'clock's'd 've'",
    "HTTPServer fooBar FooBAR ÉcoleÀ éÀ ÑandÚ ǅ ﬁ Ω K ﷺ",
    "for(i=0;i<10;++i){a[i]+=b[i]*c;} // ok\n#include <x.h>\n/* */",
    "https://example.org/a?b=c&d=%20e#f_g-h/\n/path/to//x\r\n/",
    "!!!??...---___***###$$$%%%^^^&&&|||~~~```",
    "今天天气很好。日本語、カタカナ。한국어 텍스트입니다.",
    "שלום עולם, مرحبا بالعالم ไทย",
    "e\u0301a\u0308 Z\u0351\u036b A\u030a é Å \u1112\u1161\u11ab",
    "a\u200bb\u200cc\u200dd\ufeffe\u00a0f\u3000g",
    "\U0001f469\u200d\U0001f467 \U0001f3f4 \U0001f44d\U0001f3fd ok \U0001d4b3\U0001d4ce \U00020731",
    "a\u2581b \u2581\u2581 c \u0120 d \u010a",
    "<|begin|> x<|begin|>y <unk> <|end|>z<unk><unk> ",
    "<0x0A> <0x41> <0xFF>",
    "a" * 120,
    "ab" * 60 + " " * 40 + "z",
]
SPECIAL = ["<|begin|>", "<|end|>", "<unk>"]


def metadata(size=2500):
    """GGUF metadata of a vocabulary learned without cutting: its tokens reach across every place to cut."""
    bare = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = bare
    pieces = [
        text[start : start + length]
        for text in TEXTS
        for length in (2, 3, 4, 6)
        for start in range(len(text))
    ]
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        max_token_length=4,  # none of the special tokens is learned
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS * 2 + pieces, trainer)
    model = json.loads(backend.to_str())["model"]
    learned = sorted(model["vocab"], key=model["vocab"].get)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": [*SPECIAL, *learned],
        "tokenizer.ggml.token_type": [3, 4, 2, *[1] * len(learned)],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": 0,
        "tokenizer.ggml.eos_token_id": 0,
    }
