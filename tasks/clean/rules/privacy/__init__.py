"""Personal data and secrets in texts: found, counted by kind, replaced; documents with many of them are dropped.

    masked = mask(batch.column("text"), settings)      # masked.column, masked.counts [documents, kinds]
    dropped(masked.counts, settings)                   # {row: Verdict("email", "12", "10")}

settings         what becomes of each kind: replace, drop, keep
mask             the functions above
search           one pass over the bytes; stops where something could be, and asks
mail             e-mail addresses
ip               IP addresses, their ranges
payment          cards and bank accounts, their checksums
social_security  social security numbers of the United States
phone            telephone numbers
credentials      private keys, JSON Web Tokens, access tokens
characters       bytes, separators and sets of names
top_level        top-level domains

A new kind is a compiled function of a place in a text, its name in `Kind`, a `Treatment`, and a line in `search`; a new
access token is a line in `credentials.PREFIXES`. Values that are found never leave the texts: there are only counts.
"""
