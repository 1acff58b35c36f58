"""The ground floor that every stage stands on: settings, the run of a stage, and the formats in which stages meet.

errors      what goes wrong, told to a user in one sentence
settings    a section of a recipe, read and checked
stage       the run of one stage: inputs in, outputs renamed into place, report, exit code
corpus      documents in Parquet shards
drops       documents that were dropped, kept with their reason
tokens      token ids in memory-mapped shards
identity    content hashes of settings, files and code
imports     which of our files a module needs
lifeline    a process that ends with its parent
progress    a bar on a terminal, plain lines elsewhere
runtime     what does not change a result: GRISTMILL_* and the tools' own variables
record      the run in MLflow, while it trains and after
"""
