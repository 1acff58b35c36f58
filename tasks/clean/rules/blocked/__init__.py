"""Documents with words that a user blocks: counted in each text, dropped where there are too many.

    counts = count(batch.column("text"), settings)     # counts.blocked, counts.words [documents]
    dropped(counts, settings)                          # {row: Verdict("blocked_words", "3", "0")}

settings    the words, and how many of them are allowed
count       the functions above
characters  what a character is to a word: part of it, a word by itself, a blank, a sign
table       the words as a hash table
search      one pass over the bytes
"""
