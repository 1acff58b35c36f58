"""`make bench`, or `python -m benchmarks [NAME…]`: run all benchmarks, or those named."""

import sys
import tempfile
from pathlib import Path

from benchmarks import clean, flow, gate, memory, near, privacy, quality, scoring, tokens, training, variants
from benchmarks.targets import Target, table

BENCHMARKS = {
    "clean": clean.measure,
    "flow": flow.measure,
    "three-minutes": flow.measure_three_minutes,
    "gate": gate.measure,
    "memory": memory.measure,
    "near": near.measure,
    "privacy": privacy.measure,
    "quality": quality.measure,
    "scoring": scoring.measure,
    "tokens": tokens.measure,
    "training": training.measure,
    "variants": variants.measure,
}


def main() -> None:
    """Run benchmarks and print one line per figure, then a table of all targets."""
    targets = []
    for name in sys.argv[1:] or BENCHMARKS:
        with tempfile.TemporaryDirectory(prefix="gristmill-bench-") as folder:
            for line in BENCHMARKS[name](Path(folder)):
                print(line, flush=True)
                if isinstance(line, Target):
                    targets.append(line)
    print("\n".join(table(targets)))


if __name__ == "__main__":
    main()
