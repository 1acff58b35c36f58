"""`python -m tasks.clean shakespeare`: the same text in one form, without what is too short, too long or there twice.

Reads  data/<recipe>/valid/                        documents that passed validation
Writes data/<recipe>/clean/{train,validation,test}/  cleaned documents, split by group
       data/<recipe>/clean/rejected.parquet        what was dropped, with reason, measured value and threshold
       data/<recipe>/clean/report.json             counts per reason, sizes of the splits, documents per label

Both sides of a pair are rewritten and judged; where documents have classes, every split's share of each is told.

settings    the recipe's section `clean`
text        rewriting: line ends, control characters, Unicode normalisation, blanks
rules       verdicts: one function a rule, a reason a drop
shard       both on a batch of documents: a pure function, mapped over processes
duplicates  exact duplicates, the first stays
splits      train, validation or test, by a hash of the group
labels      documents of each class: enough to train and score on?
stage       all of it on a corpus
"""
