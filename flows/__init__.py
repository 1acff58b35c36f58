"""When: Prefect flows over the stage graph of `dvc.yaml`, and the `gristmill` command.

    cli             the command line; `python -m flows` is the same
    graph           the stages of a recipe, read from dvc.yaml
    dvc_process     DVC as a process that ends with us
    stage           one DVC stage as one Prefect task
    pipeline        the flow `gristmill`
    schedule        a deployment with a schedule
    new_recipe      a recipe made from another, wired into dvc.yaml
    tables          what the command line prints
    ui              the MLflow and Prefect pages on loopback

Nothing here imports torch, transformers or great_expectations, and Prefect and DVC are imported when they are needed,
so that the command line starts at once.
"""
