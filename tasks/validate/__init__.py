"""`python -m tasks.validate shakespeare`: what the recipe expects of its documents, asked by Great Expectations.

Reads  data/<recipe>/raw/                documents as they were ingested
Writes data/<recipe>/valid/              documents that meet every row-level expectation, and report.json
       data/<recipe>/validation/         result.json, and the Data Docs: docs/index.html
       data/<recipe>/quarantine.parquet  the other documents, each with its reason
Leaves data/<recipe>/validation-failed/  the Data Docs of a validation that stopped the stage, until one passes

What an expectation does when documents do not meet it:

    severity   documents that fail a row-level one   fewer than `mostly` meet it, or an aggregate is off
    critical   go to quarantine                      the stage stops, nothing is changed
    warning    go to quarantine                      it is said and reported
    info       stay                                  it is reported

settings     the recipe's section `validate` and its defaults
catalogue    names and arguments of all built-in expectations, read without importing the library
statistics   the columns that expectations can be about
checks       Great Expectations at work: from settings to outcomes
docs         its result and HTML pages, the same for the same data
work         all of it on a corpus
"""

LIBRARIES = ("great-expectations", "pandas", "polars", "pyarrow")
"""Another release of one of these may give other bytes."""
