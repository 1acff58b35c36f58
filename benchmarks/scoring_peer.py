"""lm-eval in a process of its own, as its users run it: `python -m benchmarks.scoring_peer FOLDER WINDOW`.

For each line on stdin, a batch size, it scores texts.json with the model in FOLDER and prints a line: seconds, and the
sum of losses in nats. Beside Gristmill in one process it would inherit its settings of memory and threads.
"""

import json
import sys
import time
from pathlib import Path


def main(folder: Path, window: int) -> None:
    """Answer until stdin ends."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    texts = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    for line in sys.stdin:
        scored = HFLM(pretrained=str(folder), backend="causal", device="cpu", dtype="float32", max_length=window,
                      batch_size=int(line), trust_remote_code=False)  # fmt: skip
        asked = [Instance("loglikelihood_rolling", {}, (text,), at) for at, text in enumerate(texts)]
        start = time.perf_counter()
        found = -sum(scored.loglikelihood_rolling(asked, disable_tqdm=True))
        print(time.perf_counter() - start, found, file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
