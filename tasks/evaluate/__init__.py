"""`python -m tasks.evaluate shakespeare`: what a trained model is worth on text that it has never seen.

in    model/, clean/test/, training/history.csv (for the curves), `task` and the section `evaluate` of the recipe;
      for baselines base/ (the model that the training started from), tokens/train/ (unigrams) and clean/train/
out   evaluation/metrics.json     the headline numbers, the baselines beside them, and the signature that they need
      evaluation/scores.parquet   a row per document: id, group, and
                                  causal-lm       bytes, tokens, loss (nats), bits_per_byte, perplexity
                                  translation     prediction, reference, chrf
                                  summarization   prediction, reference, rouge1, rouge2, rougeLsum
                                  masked-lm       tokens, masked, right, loss (nats), masked_accuracy, pseudo_perplexity
                                  classification  label, predicted, probability (of it), label_probability
      evaluation/samples.json     [{prompt, text, …}]: what goes in and what comes out; pairs also have `reference`,
                                  classes `label` and `probability`, masked models `fills`
      evaluation/curves.png       loss and learning rate over the steps of the training
      evaluation/scores.png       how the scores spread over documents and groups; for classes the confusion matrix
      evaluation/report.json      counts, best and worst documents, a table of the groups or classes; for pairs
                                  `generation`, how outputs were searched for

work         task → evaluation
settings     the section of the recipe, a class a task
loading      a model folder, checked and in memory
encoding     texts to ids as a model takes them
batches      batches side by side, the same to the bit for every number of workers
split        the test split as a whole
signatures   what a score travels with
plots        what pictures share, and the curves; `score_plots`, `confusion`: the others

causal_lm       bits per byte and perplexity: `perplexity` is the score itself, `baselines` unigram and xz
pairs           what translation and summarization share: `generation` writes the outputs, `bootstrap` makes intervals
translation     BLEU and chrF beside a copy of the source
summarization   ROUGE beside the first sentence: `sentences` says what one is
masked_lm       pseudo-perplexity and accuracy on hidden tokens: `masking` says which
classification  accuracy and F1: `classifier` is the model at work, `class_baselines` what it must beat
samples         text after a prompt, tokens for a [MASK]
"""

LIBRARIES = (
    "matplotlib",
    "numpy",
    "rouge-score-rs",
    "sacrebleu",
    "scikit-learn",
    "tokenizers",
    "torch",
    "transformers",
)
"""Another release of one of these may give other bytes."""
