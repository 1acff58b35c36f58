"""ingest: `python -m tasks.ingest shakespeare` turns the recipe's source into a corpus of plain text.

reads   the recipe's section `ingest` and its source (files, a package, a URL, a Hugging Face dataset, Debian package
        descriptions)
writes  data/<recipe>/raw/part-*.parquet  id, group, text, target, label, source, problem
        data/<recipe>/raw/report.json

A document's path through the modules:

settings   the recipe's source, selected by `kind`; one module per kind: `files`, `package`, `url`, `hub`, `apt`
           (downloads stay in the user's cache: `tasks.fetch.downloads`)
look       what `gristmill check` sees before anything runs; `hub_files`: of a dataset's files
formats    file bytes to rows or text; `parquet` bounds what it unpacks to, `decoding` reports invalid bytes,
           `markdown` makes plain text
rows       a row to text, target, label, id and group
documents  rows and texts to documents with an id and a group, in several processes
ids        uniqueness of ids from a column
work       documents to shards and a report

Debian descriptions: `apt_lists` (fetched by apt-get), `apt_table` (on disk), `apt_text` (to plain text).

To add a kind, write a module with a `Source` subclass and add the class to the union in `settings`.
"""

LIBRARIES = ("datasets", "markdown-it-py", "pyarrow", "zstandard")
"""A new release of any of these may change the output."""
