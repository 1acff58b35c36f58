"""The command line, apart from the flow.

main      the `gristmill` command; `python -m flows` is the same
run       `gristmill run`: is there anything to do, the flow, a summary
profile   what a recipe's corpus is, before any training
predict   texts through the champion, line by line
results   what all recipes came to, for the terminal and for a Markdown file
tables    what the commands print
ui        the pages of MLflow and Prefect on loopback
"""
