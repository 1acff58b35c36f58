"""`gristmill profile`: what a recipe's corpus is, as tables and as a page, before anything is trained on it."""

from pathlib import Path

STAGES = ("ingest", "validate", "clean")


def profile_recipe(recipe: str) -> Path:
    """Bring the corpus up to date, print what it is, and write its page. Returns where that is.

    DVC decides which stages run. Raises GristmillError for what the user can mend.
    """
    from flows.cli.tables import make_table, show
    from flows.graph import changes, read_graph
    from flows.launch import launch
    from flows.recipes import check
    from flows.workspace import claim
    from tasks.profile.measure import measure
    from tasks.profile.page import page
    from tasks.profile.tables import tables
    from tasks.stage.errors import GristmillError
    from tasks.stage.run import DATA

    check(recipe)
    addresses = [node.address for node in read_graph(recipe) if node.recipe == recipe and node.stage in STAGES]
    with claim(recipe, [], print):
        if changes(addresses):
            code = launch("dvc", ["--wait-for-lock", "repro", addresses[-1]], lambda line: print(line, flush=True))
            if code:
                raise GristmillError(f"{addresses[-1]}: failed, as the lines above say")
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
