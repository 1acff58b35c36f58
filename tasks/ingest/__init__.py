"""ingest: `python -m tasks.ingest shakespeare` turns the recipe's source into a corpus of plain text.

in    the section `ingest` of the recipe, and the source it names (files, a package, a URL, a Hugging Face data set,
      the descriptions of Debian's packages)
out   data/<recipe>/raw/part-*.parquet  id, group, text, target, label, source, problem
      data/<recipe>/raw/report.json

One document's way through the room:

settings   which kind of source the recipe names; one module a kind: `files`, `package`, `url`, `hub`, `apt`
           (what comes from elsewhere is kept in the user's cache: `tasks.fetch.downloads`)
formats    bytes of a file to rows or a text; `decoding` says what is wrong with the bytes, `markdown` makes plain text
rows       a row to text, target, label, id and group
documents  rows and texts to documents with an id and a group; `parallel_map` does it in several processes
ids        whether those of a column are unique
work       documents to shards and a report

The way of Debian's descriptions: `apt_lists` (fetched by apt-get), `apt_table` (kept on disk), `apt_text` (made plain).

To add a kind: a module with a `Source` like the others, and its name in the union in `settings`.
"""

LIBRARIES = ("datasets", "markdown-it-py", "pyarrow", "zstandard")
"""Another release of one of these may give other bytes."""
