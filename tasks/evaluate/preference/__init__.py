"""Evaluate a model trained on preferences: does it prefer the chosen answers, and how far did it move from its base?

Everything is from the log-probabilities of the two answers to a question, each summed over its tokens, its end of turn
included, in nats, under the model and under its base. The log-ratio of an answer is the model's minus the base's.

    preference_accuracy  how often the log-ratio of the chosen answer is higher; equal ones count half
    preference_margin    the mean difference of the two log-ratios, in nats. DPO's implicit reward (Rafailov et al.
                         2023, arXiv 2305.18290, section 4) is this times beta, which is not applied here: the number
                         would depend on a setting of the training, and models with different ones not be comparable
    bits_per_byte        of questions and chosen answers read as plain text, without a template: against the base's, how
                         much the model drifted as a language model

A model from scratch has no base, and log-probabilities take the place of log-ratios.

    accuracy_by_likelihood  how often the chosen answer has the higher log-probability, for the model and its base: the
                         base's is the baseline of preference_accuracy; `…_per_token`: the higher one per token, which
                         does not favor short answers
    longer               the baseline that prefers the longer text
    length_correlation   Pearson's, of margins and differences in length (bytes of chosen minus rejected)

The plain text is that of the test split, which DVC watches already; a file of one's own would be one more dependency of
the stage for a number that the recipe of a causal model gives, too.

work     the stage: report, samples, plots
scorer   scores any preference model on the test split
tables   metrics, intervals and gains from rows of scores
plots    margins of the pairs, and against the difference in length
"""
