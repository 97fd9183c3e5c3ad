"""Run in a process of its own: token ids by llama.cpp, as JSON.

Usage: python by_llamacpp.py FILE... < a JSON list of texts
"""

import json
import os
import sys
import urllib.request

import xllamacpp


def ids(path, texts):
    """Ids of the texts by the tokenizer of a GGUF file, beginning-of-sequence and special tokens included."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 64, 1, False
    server = xllamacpp.Server(parameters)
    found = []
    for text in texts:
        asked = {"content": text, "add_special": True, "parse_special": True}
        request = urllib.request.Request(
            server.listening_address + "/tokenize",
            json.dumps(asked).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            found.append(json.load(answer)["tokens"])
    return found


if __name__ == "__main__":
    texts = json.load(sys.stdin)
    print("IDS " + json.dumps([ids(path, texts) for path in sys.argv[1:]]), flush=True)
    os._exit(0)  # its servers would wait for more
