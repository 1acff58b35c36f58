"""`gristmill profile`: what a recipe's corpus is, as tables and as a page, before anything is trained on it."""

from pathlib import Path

STAGES = ("ingest", "validate", "clean")


def profile_recipe(recipe: str) -> Path:
    """Bring the corpus up to date, print what it is, and write its page. Returns where that is.

    DVC decides which stages run. Raises GristmillError for what the user can mend.
    """
    from flows.cli.tables import make_table, show
    from flows.graph import CODE, changes, read_graph
    from flows.recipes import check
    from flows.runner import reproduce
    from flows.workspace import claim
    from tasks.profile.measure import measure
    from tasks.profile.page import page
    from tasks.profile.tables import tables
    from tasks.stage.run import DATA

    check(recipe)
    wanted = {CODE, *(f"{stage}@{recipe}" for stage in STAGES)}
    nodes = [node for node in read_graph(recipe) if node.address in wanted]
    with claim(recipe, [], print):
        if changes([node.address for node in nodes]):
            for node in nodes:
                reproduce(node, lambda line: print(line, flush=True))
        found = measure(recipe)
        place = DATA / recipe / "profile.html"
        place.write_text(page(found), encoding="utf-8")
    for given in tables(found):
        table = make_table(*given.columns, right=given.numbers)
        for row in given.rows:
            table.add_row(*row)
        show(f"\n{given.title}")
        show(table)
    return place
