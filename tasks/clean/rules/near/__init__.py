"""Near-duplicates, contamination with evaluation texts, and repeated paragraphs.

words.py, ngrams.py         hashes of the words of a column of texts, and of their n-grams
sketch.py, files.py         document sketches, one file per batch
duplicates.py               near-duplicates across all batches, and which document of each cluster stays
  candidates.py, jaccard.py, clusters.py   candidate pairs; exact comparison; connected components
contamination.py            documents that share n-grams with an evaluation set (evaluation_files.py)
paragraphs.py               repeated paragraphs
hash_set.py                 a set of 64-bit hashes

Results do not depend on batch sizes, scheduling or memory. Documents are ordered as their files are.
"""
