"""Evaluate a chat model: what it would say next in held-out conversations, and how well it expects what was said.

    bits_per_byte   the loss of the answers, each with its end of turn, over the bytes of their texts
    chrf            sacrebleu's sentence chrF2 (Popović, WMT 2015) of a generated answer and the true one
    rougeL          F-measure of the longest common subsequence of words (Lin, ACL workshop 2004)
    exact_match     whether the two are the same text, white space at both ends aside
    ended           whether the answer ended by itself, not at `max_new_tokens`

An answer is generated from the true turns before it, never from generated ones. Scores of generated answers are means
over the answers of a conversation, then over conversations; bits per byte are over all bytes.

work        the stage: the model, its base, the baselines, the report
scorer      scores any chat model on the test split
model       a chat model with its template, and what of a conversation fits into its positions
losses      the loss of each answer's tokens
generation  answers from prompts, greedily, by beam search or by sampling
scores      scores of generated answers
tables      metrics, intervals and gains from rows of scores; by turn, by source
baselines   the answer of the nearest training question, the most frequent training answer
plots       conversations before and after training
"""
