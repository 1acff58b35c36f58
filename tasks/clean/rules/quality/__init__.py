"""Published rules about the quality of web text: Gopher, C4 and FineWeb, as kernels over a column of texts.

settings      a recipe's thresholds and presets
judge         the plain function: texts and settings in, texts, verdicts and counts out
rules         from measures to verdicts, in the published order
documents     measures of documents: words, lines, paragraphs
repetition    repeated n-grams, exactly
lines         C4's rules, which drop lines
words         what a word is: text split as FineWeb does
word_bytes    its bytes: tables, characters, keys
contractions  English words that are split as listed
characters    classes of characters, from Python's Unicode data
"""
