"""What documents have in common with others: near-duplicates, evaluation texts, paragraphs that were there before."""
