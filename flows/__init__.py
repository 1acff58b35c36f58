"""When: Prefect flows over the stage graph of `dvc.yaml`, and the `gristmill` command.

    cli             the command line; `python -m flows` is the same
    graph           the stages of a recipe, read from dvc.yaml, and what DVC finds changed in them
    tied            a program that ends with its starter, as DVC does with its flow
    launch          such a program in a process group of its own: its lines, its time-out, its end
    workspace       one run of a recipe at a time in a workspace
    stage           one DVC stage as one Prefect task
    pipeline        the flow `gristmill`
    summary         what a run did
    api             the configured Prefect server, or a temporary one
    schedule        a deployment with a schedule
    new_recipe      a recipe made from another, wired into dvc.yaml
    tables          what the command line prints
    ui              the MLflow and Prefect pages on loopback

Nothing here imports torch, transformers or great_expectations, and Prefect and DVC are imported when they are needed,
so that the command line starts at once.
"""
