"""`python -m tasks.evaluate shakespeare`: what a trained model is worth on text that it has never seen.

in    model/, clean/test/, tokens/train/ (for the unigram baseline), training/history.csv (for the curves),
      `task` and the section `evaluate` of the recipe
out   evaluation/metrics.json     the headline numbers, the baselines beside them, and the signature that they need
      evaluation/scores.parquet   a row per document: id, group, bytes, tokens, loss (nats), bits_per_byte, perplexity
      evaluation/samples.json     [{prompt, text, new_tokens, settings}]: what the model writes after the prompts
      evaluation/curves.png       loss and learning rate over the steps of the training
      evaluation/scores.png       how the scores spread over documents and groups
      evaluation/report.json      counts, best and worst documents, a table of the groups

__main__     task → evaluation
causal_lm    the evaluation of a causal language model, from its folder to the files above
loading      a model folder, checked and in memory
perplexity   the score itself: a pure function of a model and token ids, and its signature
baselines    unigram and xz on the same text
samples      text after prompts
plots        the two pictures
"""
