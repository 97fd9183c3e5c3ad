"""Run in a process of its own: what llama.cpp makes of GGUF files, as JSON.

Usage: python by_llamacpp.py ids FILE... < a JSON list of texts
       python by_llamacpp.py next FILE... < a JSON list of lists of token ids
"""

import json
import os
import subprocess
import sys
import urllib.request


def asked(kind, paths, things):
    """For each file, llama.cpp's answer to each thing, from a process of its own."""
    done = subprocess.run(
        [sys.executable, __file__, kind, *map(str, paths)],
        input=json.dumps(things),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, done.stderr[-2000:]
    return json.loads(lines[0].removeprefix("FOUND "))


def server(path):
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 64, 1, False
    return xllamacpp.Server(parameters)


def post(server, where, body):
    request = urllib.request.Request(
        server.listening_address + where, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def ids(server, text):
    """Ids of a text by the file's tokenizer, beginning-of-sequence and special tokens included."""
    body = {"content": text, "add_special": True, "parse_special": True}
    return post(server, "/tokenize", body)["tokens"]


def following(server, tokens):
    """ln p of every token after these, by id."""
    # It says nothing of a token that is half a character: an "a" is drawn, whose bias the answer leaves out.
    body = {"prompt": tokens, "n_predict": 1, "n_probs": 100_000, "cache_prompt": False}
    body |= {"logit_bias": [["a", 1000]], "temperature": 0}
    (first,) = post(server, "/completion", body)["completion_probabilities"]
    return {each["id"]: each["logprob"] for each in first["top_logprobs"]}


if __name__ == "__main__":
    answer = {"ids": ids, "next": following}[sys.argv[1]]
    things = json.load(sys.stdin)
    found = [[answer(one, thing) for thing in things] for one in map(server, sys.argv[2:])]
    print("FOUND " + json.dumps(found), flush=True)
    os._exit(0)  # its servers would wait for more
