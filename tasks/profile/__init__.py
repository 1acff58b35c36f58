"""Describes a cleaned corpus before anything is trained on it.

In:  the outputs of `clean`: splits and report. Out: a `Profile`, and an HTML page of it.

measure.py    counts, lengths, languages
pictures.py   plots of lengths and languages
tables.py     tables for the terminal and the page
page.py       a self-contained HTML page
"""
