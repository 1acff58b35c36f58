"""Score the variants of a model as the model itself was scored: `python -m tasks.measure smollm2-debian`.

in    model/, variants/, the model's evaluation/scores.parquet and evaluation/metrics.json; clean/test/ and base/ for
      `tasks.evaluate.rescore`; the recipe's `task` and section `evaluate`
out   measured/<name>/scores.parquet, measured/<name>/metrics.json   as the stage `evaluate` writes them
      measured/report.json    of each variant and metric: the comparison with the model, paired by document
      measured.json           of the model and each variant: bytes and metrics
and   speed.json              of the model and each variant: documents per second, memory. No output: it depends on the
                              machine and its other work

work      variant by variant, each in a process of its own
speed     the model and its variants in turns
"""

LIBRARIES = ("numpy", "scipy")
"""Libraries whose version can change the output; those of the scores are listed for `evaluate`."""
