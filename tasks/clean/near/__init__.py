"""Documents that are nearly the same, texts that a model will be evaluated on, and paragraphs that are there twice.

Three passes. The first and the last are functions of a batch, for any process; the second sees the whole corpus, in
one process, and reads files that the first one wrote. Nothing depends on how the corpus is cut, on who does what when,
or on the memory; the order of the paths is that of the documents.

1. Of each batch, cleaned, with the texts of documents that other rules drop replaced by null:

       found = overlaps(texts, EvaluationIndex.read(index))     # contamination: which training documents go
       write_sketch(sketch_of(texts, settings), sketch)         # sketch, 10 to 15 ns a byte in all
       write_paragraphs(paragraphs_of(texts, rule), paragraph)  # paragraphs, 7 to 11 ns a byte

   Texts that `overlaps` drops are null, too, for what follows it.

2. Once. `priorities` has a number a document, 0 for test, 1 for validation, 2 for train: of what is the same in several
   splits the test split keeps it.

       near = near_duplicates(sketches, settings, priorities)   # duplicates: near.staying(), near.keepers
       priorities[~near.staying()] = GONE
       staying = first_paragraphs(paragraphs, priorities)       # paragraphs: a list, an array a file

3. Of each batch again: `verdict_of` for documents that go, and the texts of the others without repeated paragraphs.
   Rules about length are asked again of those that lost some.

       texts = without(texts, read_paragraphs(paragraph), staying[number])
"""
