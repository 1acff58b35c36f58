"""Evaluate a trained model on the held-out test split: `python -m tasks.evaluate shakespeare`.

in    model/, clean/test/, training/history.csv (for the curves), the recipe's `task` and section `evaluate`;
      for baselines base/ (the initial model), tokens/train/ (unigrams) and clean/train/
out   evaluation/metrics.json     metrics, baselines and the signature
      evaluation/scores.parquet   a row per document: id, group, and
                                  causal-lm       bytes, tokens, loss (nats), bits_per_byte, perplexity
                                  translation     prediction, reference, chrf
                                  summarization   prediction, reference, rouge1, rouge2, rougeLsum
                                  masked-lm       tokens, masked, right, loss (nats), masked_accuracy, pseudo_perplexity
                                  chat            [part,] bytes, tokens, loss (nats), turns, prediction, reference (of
                                                  the last answer), chrf, rougeL, exact_match, ended
                                  preference      [part,] chosen, rejected, base_chosen, base_rejected (log-
                                                  probabilities in nats), correct, margin,
                                                  chosen_tokens, rejected_tokens, length_difference
                                                  (bytes); of the plain text bytes, tokens, loss,
                                                  base_loss (nats)
                                  classification  label, predicted, probability (of it), label_probability
      evaluation/samples.json     [{prompt, text, …}]: input and output; plus `reference` for pairs, `label` and
                                  `probability` for classification, `fills` for masked models
      evaluation/curves.png       loss and learning rate over the training steps
      evaluation/scores.png       distribution of scores over documents and groups; confusion matrix for classification
      evaluation/report.json      counts, best and worst documents, scores per group or class; beam search settings
                                  (`generation`) for pairs

work         dispatch by task
rescore      score any model folder as the recipe's own, by the same scorers; not part of the stage
pace         how fast a model folder is scored; not part of the stage
settings     the section `evaluate`, one class per task
inputs       what all evaluations read first and write last
exam         what is scored, a model on the test split, and what a task's scorer does
scores       scores.parquet
loading      load and check a model folder
encoding     tokenize model inputs
batches      run batches in parallel, bit-identical for any number of workers
decoding     greedy and beam search in which complete outputs leave the batch
packing      fp32 matrix products by oneDNN
split        size and hash of the test split
signatures   signatures that make scores comparable
plots        learning curves; the other plots are in `score_plots` and `confusion`

causal_lm       bits per byte and perplexity (`perplexity`), unigram and xz baselines (`baselines`)
pairs           shared by translation and summarization: outputs (`generation`), confidence intervals (`bootstrap`)
translation     BLEU and chrF; baseline: a copy of the source
summarization   ROUGE; baseline: the first sentence (`sentences`)
masked_lm       pseudo-perplexity and accuracy on masked tokens (`masking`)
chat            a folder: bits per byte of the answers, generated answers, the model before training
preference      a folder: which of two answers the model prefers, against its base; length bias and drift
rouge           ROUGE's tokenizers and signature, shared by summarization and chat
classification  accuracy and F1 (`classifier`), majority and TF-IDF baselines (`class_baselines`)
samples         continue a prompt, fill a [MASK]
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
"""Libraries whose version can change the output."""
