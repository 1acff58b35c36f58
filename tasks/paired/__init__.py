"""How sure a difference between two models is that were scored on the same documents: arithmetic without files.

sums        metrics from sums over documents, so that they can be computed for any part of them
jackknife   the standard error of a difference, from whole groups, honest with few of them

`tasks.compare` judges champions with it, `tasks.evaluate` what the training of a chat model gained over its base.
"""
