"""Rules about single documents and about all of them: a room or a module per kind.

length, pairs, labels, scripts   sizes, pairs and classes; each rule is a function of a batch, listed in `documents`
language     fastText's model
quality      Gopher, C4, FineWeb
blocked      words of a user's list
privacy      personal data and secrets
near         near-duplicates, text shared with evaluation sets, repeated paragraphs

A rule says which documents it drops, and why: the reason, what was measured, the threshold. It looks at the document
and the settings alone, so that any process may run it; the rooms `near` look at all documents together.
"""
