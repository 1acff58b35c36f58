"""Language identification with fastText's lid.176.ftz, 176 languages (Joulin et al. 2016).

    found = identify(batch.column("text"))     # found.languages, found.scores [documents]
    other_language(column, "en", settings)     # {row: Verdict("other_language", "fr 0.98", "0.7")}

model      the model file as arrays, read once per process
search     one pass over the bytes of a column
identify   the functions above
settings   the recipe's keys
"""
