"""The files in which stages meet, and what several stages know about models.

corpus      documents in Parquet shards
drops       dropped documents with their reason
rows        token ids of a text and its target as one row
tokens      token ids in memory-mapped shards
tokenizer   a tokenizer on disk
origin      where a model starts: `model.init`
usage       how a trained model is used: gristmill.json
weights     the model in memory: positions, bfloat16
utf8        passes over the bytes of a corpus
figures     plots that are the same bytes every time
"""
