"""Published quality rules for web text (Gopher, C4 and FineWeb) as kernels over a column of texts.

settings      a recipe's thresholds and presets
judge         the entry point: texts and settings in; texts, verdicts and counts out
rules         from measures to verdicts, in the published order
documents     measures of documents: words, lines, paragraphs
repetition    exact counts of repeated n-grams
lines         C4's rules, which drop lines
words         splits text into words, as FineWeb does
word_bytes    the bytes of text: tables, characters, keys of words
contractions  English words with a fixed split
characters    classes of characters, from Python's Unicode data
"""
