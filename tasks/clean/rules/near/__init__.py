"""Documents that are nearly the same, texts that a model will be evaluated on, and paragraphs that are there twice.

words.py, ngrams.py         words of a column of texts as hashes, and runs of them
sketch.py, files.py         what a document is compared by; a file of them for each batch
duplicates.py               which documents of all batches are nearly the same, and which of them stays
  candidates.py, jaccard.py, clusters.py   pairs that agree in a band; compared exactly; connected
contamination.py            documents that share runs of words with an evaluation set (evaluation_files.py)
paragraphs.py               paragraphs that were there before
hash_set.py                 which of many hashes were there before

Nothing depends on how the corpus is cut, on who does what when, or on the memory; the order of the files is that of
the documents.
"""
