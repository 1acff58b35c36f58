"""`gristmill profile`: describe a recipe's corpus as tables and a page, without training."""

from pathlib import Path

STAGES = ("ingest", "validate", "clean")


def profile_recipe(recipe: str) -> Path:
    """Update the corpus, print its tables, and write its page; returns the page's path.

    DVC decides which stages run. Raises GristmillError for errors that the user can fix.
    """
    from flows.cli.tables import make_table, show
    from flows.graph import CODE, changes, read_graph
    from flows.progress import bar_on_terminal, describe
    from flows.recipes import check
    from flows.runner import reproduce
    from flows.workspace import claim
    from tasks.profile.measure import measure
    from tasks.profile.page import page
    from tasks.profile.tables import tables
    from tasks.stage.run import DATA

    recipe_now = check(recipe)
    wanted = {CODE, *(f"{stage}@{recipe}" for stage in STAGES)}
    nodes = [node for node in read_graph(recipe) if node.address in wanted]
    with claim(recipe, [], print), bar_on_terminal():
        if changes([node.address for node in nodes]):
            for number, node in enumerate(nodes, 1):
                reproduce(node, lambda line: print(line, flush=True), place=f"stage {number} of {len(nodes)}")
        describe("measuring the corpus")
        found = measure(recipe, recipe_now.train.tokens_read(), recipe_now.train.epochs)
        place = DATA / recipe / "profile.html"
        place.write_text(page(found), encoding="utf-8")
    for given in tables(found):
        show(f"\n{given.title}")
        show(make_table(given.columns, given.rows, right=given.numbers))
    return place
