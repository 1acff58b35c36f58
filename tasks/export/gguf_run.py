"""Run a GGUF file by llama.cpp: `python -m tasks.export.gguf_run FILE THREADS`, in a process of its own.

    in    lines on stdin: [ids], or "text", which llama.cpp encodes
    out   lines on stdout: {"id": …, "top": {"id": log-probability of this token as the next one, …}}

llama.cpp ends its process where a file is damaged, so it does not run in that of the stage.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tasks.stage.apart import Answering, answering

LIKELIEST = 20
"""Tokens whose log-probabilities are told."""


class LlamaCpp:
    """A process that runs a file."""

    def __init__(self, process: Answering) -> None:
        self._process = process

    def next_token(self, prompt: Sequence[int] | str) -> tuple[int, dict[int, float]]:
        """The likeliest token after ids or a text, and the log-probabilities (nats) of the likeliest ones.

        Raises EOFError if llama.cpp has ended.
        """
        try:
            found = self._process.ask(prompt if isinstance(prompt, str) else list(prompt))
        except EOFError as error:
            raise EOFError(f"llama.cpp {error}") from error
        return found["id"], {int(token): value for token, value in found["top"].items()}


@contextmanager
def llama_cpp(path: Path, threads: int) -> Iterator[LlamaCpp]:
    """llama.cpp with a file."""
    with answering("tasks.export.gguf_run", str(path), str(threads), silent=True) as process:
        yield LlamaCpp(process)


def main() -> None:
    """The command line."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.verbosity, params.warmup = sys.argv[1], -1, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[2])
    params.n_parallel = 1
    server = xllamacpp.Server(params)
    asked = {"max_tokens": 1, "logprobs": LIKELIEST, "temperature": 0, "cache_prompt": False}
    for line in sys.stdin:
        answer = server.handle_completions({"prompt": json.loads(line), **asked})
        token = answer["choices"][0]["logprobs"]["content"][0]
        top = {each["id"]: each["logprob"] for each in token["top_logprobs"]}
        print(json.dumps({"id": token["id"], "top": top}), flush=True)


if __name__ == "__main__":
    main()
