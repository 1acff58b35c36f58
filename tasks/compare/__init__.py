"""Is one model better than another? Statistics on the scores of the same test documents; no MLflow, no files written.

    new, old = (read_documents(path, "causal-lm") for path in (…, …))          # two scores.parquet
    print(compare(new, old, "bits_per_byte", settings).sentence())
    better: bits_per_byte 1.9113 against 1.9604, a gain of 0.0491 (95 % interval 0.0312 to 0.0670) …

documents    reads scores.parquet, and checks that two of them are about the same documents
statistics   each metric from sums over documents, so that it can be computed for any part of them
bootstrap    the paired bootstrap over groups, as `sacrebleu --paired-bs` draws it
verdict      better, worse, or cannot tell, with what the test text could have shown
settings     a guard: a further metric, or a slice of the documents, that may not become worse
slices       the slice of each test document: group, label, language, length, …
guards       one-sided tests of all guards together
"""
