"""The command line, apart from the flow.

main      the `gristmill` command, also `python -m flows`
place     the project's folder, and the recipe that a path names
run       `gristmill run`: check for changes, run the flow, print a summary
profile   describes a recipe's corpus without training
predict   runs the champion on texts, line by line
results   the results of all recipes, for the terminal and for a Markdown file
history   the ledger: who became champion, when, by whom and why
compare   what differs between two models
why_stale why each stage would run
reproduce any run again
sweep     search settings by the validation loss
tried     `gristmill run --set`: what was tried beside the recipe's own model
noise     the spread of scores between seeds
attest    keys, signed statements, and their check
schema    the reference of recipe keys
tables    the tables that commands print
ui        serves the MLflow and Prefect pages on loopback
"""
