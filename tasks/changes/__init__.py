"""What differs between two trained models, and why: settings, documents, code, packages, scores, curves.

In:  two `Record`s, the files and tags that a run keeps. Out: one `Changes`, as tables and as an HTML page.

manifest.py     the documents of each stage, by id and hash: an artifact of every run
record.py       a record of what lies in data/<recipe>, or of a run in MLflow
differences.py  all parts together: `find_changes`
settings.py     keys of the recipe
documents.py    documents that came, went, changed, or moved between splits
texts.py        the beginning of a document's text, where it is still at hand
code.py         commits, files, versions of code and libraries, packages
scores.py       metrics side by side with the paired difference
slices.py       the metric by group, label and length
extremes.py     the documents that became most better and most worse
comparable.py   whether two evaluations can be compared, and on which documents
curves.py       learning curves
tables.py       everything as tables, for the terminal and the page
pictures.py     the curves and the slices as SVG
page.py         a self-contained HTML page
keep.py         that page among the artifacts of a run, for register
"""
