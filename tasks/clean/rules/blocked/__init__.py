"""Counts a user's blocked words in each text and drops documents with too many.

    counts = count(batch.column("text"), settings)     # counts.blocked, counts.words [documents]
    dropped(counts, settings)                          # {row: Verdict("blocked_words", "3", "0")}

settings    the recipe's keys: the words, and how many are allowed
count       the functions above
characters  kinds of characters: part of a word, a word by itself, blank, sign
table       the words as a hash table
search      one pass over the bytes
"""
