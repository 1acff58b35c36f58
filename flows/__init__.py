"""When: Prefect flows over the stage graph of `dvc.yaml`, and the `gristmill` command.

cli/        the command line
recipes     how recipes stand in dvc.yaml; a new one made from another
pipeline    the flow `gristmill`
runner      one stage run by DVC in a process of its own
stage       the same as one Prefect task
graph       the stages of a recipe, read from dvc.yaml, and what DVC finds changed
launch      a program in a process group of its own, which ends with us (`child`)
workspace   one run per recipe and workspace at a time
api         the configured Prefect server, or a temporary one
configured  whether Prefect has a server, known without importing Prefect
temporary   the temporary one, started before Prefect is imported
schedule    a deployment with a schedule
summary     what a run did

Nothing here imports torch, transformers or great_expectations, and Prefect and DVC are imported when they are needed,
so that the command line starts at once.
"""
