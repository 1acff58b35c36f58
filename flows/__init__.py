"""When: Prefect flows over the stage graph of `dvc.yaml`, and the `gristmill` command.

    cli         the command line; `python -m flows` is the same
    wiring      how recipes hang in the graph; a new one made from another
    run         `gristmill run`: is there anything to do, the flow, a summary
    pipeline    the flow `gristmill`
    stage       one DVC stage as one Prefect task
    graph       the stages of a recipe, read from dvc.yaml, and what DVC finds changed
    launch      a program in a process group of its own, which ends with us (`tied`)
    workspace   one run per recipe and workspace at a time
    api         the configured Prefect server, or a temporary one
    schedule    a deployment with a schedule
    summary     what a run did
    predict     texts through the champion, line by line
    tables      what the command line prints
    results     what all recipes came to, for the terminal and for a Markdown file
    ui          the MLflow and Prefect pages on loopback

Nothing here imports torch, transformers or great_expectations, and Prefect and DVC are imported when they are needed,
so that the command line starts at once.
"""
