"""What Gristmill does to text and models: one room per stage, in plain Python that knows nothing of Prefect or DVC.

The rooms `ingest validate clean tokenize train evaluate register` never import one another; they meet in the files
that `tasks.contract` describes. `tasks.recipe` puts their settings together to a whole recipe.
"""
