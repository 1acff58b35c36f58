"""What Gristmill does to text and models: one room per stage, in plain Python that knows nothing of Prefect or DVC.

The stages `base ingest validate clean tokenize train evaluate` and `register` never import one another; they meet in
the files that `tasks.formats` describes. Under them: `stage` (how a stage runs), `fetch`, `workers` and
`tracking` (MLflow). `code` tells DVC when the code of a stage changed. `recipe` puts the settings of all stages
together.
"""
