"""`python -m tasks.validate shakespeare` checks documents against the recipe's expectations with Great Expectations.

Reads  data/<recipe>/raw/                ingested documents
Writes data/<recipe>/valid/              documents that meet every row-level expectation, and report.json
       data/<recipe>/validation/         result.json and the Data Docs (docs/index.html)
       data/<recipe>/quarantine.parquet  the other documents, each with its reason
Leaves data/<recipe>/validation-failed/  Data Docs of a validation that stopped the stage, until one passes

Effect of an unmet expectation:

    severity   a document fails a row-level one   fewer than `mostly` meet it, or an aggregate fails
    critical   it is quarantined                  the stage stops, nothing is changed
    warning    it is quarantined                  a warning is printed and reported
    info       it is kept                         the report lists it

settings     the recipe's section `validate` and its defaults
catalogue    names and arguments of all built-in expectations, read without importing the library
statistics   the columns for expectations
checks       Great Expectations: settings to outcomes
parts        large tables, a part at a time
docs         the result as JSON and HTML, deterministic
work         the stage
"""

LIBRARIES = ("great-expectations", "pandas", "polars", "pyarrow")
"""A new release of any of these may change the output."""
