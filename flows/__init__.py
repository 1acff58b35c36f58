"""When stages run: Prefect flows over the stage graph of `dvc.yaml`, and the `gristmill` command.

cli/        the command line
recipes     the mapping of recipes in dvc.yaml; new recipes
pipeline    the flow `gristmill`
runner      runs one stage through DVC in its own process
progress    a bar on a terminal, signs of life in a log
stage       runs one stage as a Prefect task
graph       the stages of a recipe in dvc.yaml, and DVC's status of them
launch      runs a program in its own process group, which ends with this process (`child`)
locks       DVC's locks that killed processes left behind
workspace   one run per recipe and workspace at a time
api         the configured Prefect server, or a temporary one
configured  detects a configured Prefect server without importing Prefect
temporary   a temporary server, started before Prefect is imported
server      Prefect's server, which answers its own page only
stop        Ctrl-C and its kin end a command with a sentence
schedule    a deployment with a schedule
summary     the outcome of a run
events      events in Prefect about the gate and the champion
scratch_run stages of a recipe with other settings, in a folder beside the project
tried       `gristmill run --set`: other settings, without writing them
sweep/      searches settings by the validation loss
noise       trains a recipe again with other seeds
reproduce/  makes any run again in a clean work tree, and compares every byte
why_stale   why each stage would run; of its code, `stale_code`

Nothing here imports torch, transformers or great_expectations; Prefect and DVC are imported on demand, so that the
command line starts at once.
"""
