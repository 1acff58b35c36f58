"""`make bench`, or `python -m benchmarks [NAME…]`: all of them, or those named."""

import sys
import tempfile
from pathlib import Path

from benchmarks import flow, near, privacy, quality, training

BENCHMARKS = {
    "flow": flow.measure,
    "near": near.measure,
    "privacy": privacy.measure,
    "quality": quality.measure,
    "training": training.measure,
}


def main() -> None:
    """Run the benchmarks and print a line a figure."""
    for name in sys.argv[1:] or BENCHMARKS:
        with tempfile.TemporaryDirectory(prefix="gristmill-bench-") as folder:
            for line in BENCHMARKS[name](Path(folder)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
