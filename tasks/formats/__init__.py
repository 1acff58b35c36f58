"""The files that stages exchange, and facts about models that several stages share.

corpus      documents in Parquet shards
folders     what a glob would pass over in silence
drops       dropped documents with their reason
rows        batches of token ids: padded, joined, shifted
tokens      token ids in memory-mapped shards
tokenizer   a tokenizer on disk
origin      where a model's weights come from: `model.init`
sampling    how a causal model continues a prompt
usage       how a trained model is used: gristmill.json
weights     a model in memory: positions, bfloat16
utf8        the UTF-8 bytes of a column of texts
figures     plots with reproducible bytes
"""
