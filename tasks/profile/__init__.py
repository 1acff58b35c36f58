"""What a cleaned corpus is, before anything is trained on it.

In:  what `clean` left of a recipe: splits, `rejected.parquet`, report. Out: a `Profile`, and a page of it.

measure.py    counts, lengths, languages
pictures.py   lengths and languages, drawn
page.py       a page of HTML that needs nothing beside it
"""
