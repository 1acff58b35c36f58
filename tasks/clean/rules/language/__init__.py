"""In which language a text is, by fastText's lid.176.ftz (Joulin et al. 2016), of 176 languages.

    found = identify(batch.column("text"))     # found.languages, found.scores [documents]
    other_language(column, "en", settings)     # {row: Verdict("other_language", "fr 0.98", "0.7")}

model      the file as arrays, read once in each process
search     one pass over the bytes of a column
identify   the functions above
settings   the recipe's keys
"""
