"""MinHash signatures by other libraries, each with its own shingles of 5 words; `make bench-peers` installs them."""

import re
import tempfile
from collections.abc import Callable, Sequence

from benchmarks.timing import best, megabytes

NGRAM, BANDS, ROWS = 5, 20, 5
WORD = re.compile(r"[^\W_]+")

Work = Callable[[Sequence[str]], object]


def shingles(text: str) -> list[str]:
    """Shingles for datasketch and rensa, which make none themselves."""
    words = WORD.findall(text.lower())
    return [" ".join(words[place : place + NGRAM]) for place in range(max(1, len(words) - NGRAM + 1))]


def datatrove() -> Work:
    """Its signature step and word tokenizer with FineWeb's settings: 14 bands of 8 rows, SHA-1, 64 bits."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    chosen = MinhashConfig(
        n_grams=NGRAM, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=64, hash_fc="sha1")
    )
    step = MinhashDedupSignature(output_folder=tempfile.gettempdir(), config=chosen, language="eng")
    return lambda texts: [step.get_signature(step.get_shingles(text)) for text in texts]


def datasketch() -> Work:
    """A `MinHash` per text, looked up in an index and inserted, without exact comparison."""
    from datasketch import MinHash, MinHashLSH

    def work(texts: Sequence[str]) -> list[list[object]]:
        index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
        found = []
        for number, text in enumerate(texts):
            sketch = MinHash(num_perm=BANDS * ROWS)
            sketch.update_batch([shingle.encode() for shingle in shingles(text)])
            found.append(index.query(sketch))
            index.insert(number, sketch)
        return found

    return work


def rensa() -> Work:
    """Its full mode, which reads every token."""
    from rensa import RMinHash

    return lambda texts: RMinHash.from_token_sets([shingles(text) for text in texts], BANDS * ROWS, 0)


PEERS = {"datatrove signatures": datatrove, "datasketch LSH": datasketch, "rensa from_token_sets": rensa}


def megabytes_a_second(make: Callable[[], Work], texts: Sequence[str]) -> float:
    """Speed of a peer on one core, the best of three after a warm-up. Raises ImportError if it is not installed."""
    work = make()
    work(texts[:10])
    return megabytes(texts) / best(lambda: work(texts))
