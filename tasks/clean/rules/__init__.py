"""Rules that drop documents, a module or package per kind.

length, pairs, labels, scripts   sizes, pairs and classes; each rule is a function of a batch, listed in `documents`
language     language identification with fastText's model
quality      Gopher, C4, FineWeb
blocked      words from a user's list
privacy      personal data and secrets
near         near-duplicates, text shared with evaluation sets, repeated paragraphs
text_bytes   compiled helpers that several of these share

A rule returns which documents it drops and why: the reason, the measured value, the threshold. It depends only on the
document and the settings, so any process can run it; only `near` compares documents.
"""
