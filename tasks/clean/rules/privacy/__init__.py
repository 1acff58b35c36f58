"""Find personal data and secrets in texts, count them by kind, replace them, and drop documents with too many.

    masked = mask(batch.column("text"), settings)      # masked.column, masked.counts [documents, kinds]
    dropped(masked.counts, settings)                   # {row: Verdict("email", "12", "10")}

settings         the treatment of each kind: replace, drop, keep
mask             the functions above
search           one pass over the bytes, which matches the kinds at trigger bytes
mail             email addresses
ip               IP addresses and their ranges
payment          cards and bank accounts, with their checksums
social_security  US social security numbers
phone            phone numbers
credentials      private keys, JSON Web Tokens, access tokens
characters       bytes, separators and sets of names
top_level        top-level domains

To add a kind, write a compiled function of a position in a text, and add a name to `Kind`, a `Treatment`, and a line to
`search`. To add an access token, add a line to `credentials.PREFIXES`. Only counts are reported, never values.
"""
