"""Gristmill's stages: one package per stage, in plain Python that knows nothing of Prefect or DVC.

The stages `base ingest validate clean tokenize train evaluate` and `register` never import one another; they exchange
the files that `tasks.formats` describes. They share `stage` (how a stage runs), `fetch`, `workers` and `tracking`
(MLflow). `code` tells DVC when a stage's code changed. `recipe` combines the settings of all stages.
"""
