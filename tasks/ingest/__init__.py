"""ingest: `python -m tasks.ingest shakespeare` turns the recipe's source into a corpus of plain text.

in    the section `ingest` of the recipe, and the source it names (files, a package, a URL, a Hugging Face data set)
out   data/<recipe>/raw/part-*.parquet  id, group, text, source, problem
      data/<recipe>/raw/report.json

One document's way through the room:

settings   which kind of source the recipe names; one module a kind: `files`, `package`, `url`, `hub`
downloads  what comes from elsewhere, kept in the user's cache and checked against its SHA-256; `archives` opens it
formats    bytes of a file to rows or a text; `decoding` says what is wrong with the bytes, `markdown` makes plain text
documents  rows and texts to documents with an id and a group; `spread` does it in several processes
work       documents to shards and a report

To add a kind: a module with a `Source` like the others, and its name in the union in `settings`.
"""
