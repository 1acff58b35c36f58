"""A model from tokens: `python -m tasks.train shakespeare`.

in    base/ (empty for a model from scratch), tokenizer/, tokens/train/, tokens/validation/; the sections `task`,
      `model` and `train` of the recipe
out   model/                 safetensors, configuration and tokenizer, as `transformers` loads them, and how it is used
      training/history.csv   step, tokens, loss, validation_loss, learning_rate, grad_norm
      training/report.json

settings      the sections `model` and `train`, by task
catalogue     which architectures there are and what they can be told, read without importing transformers
vocabulary    the tokenizer, as far as a model and its batches must know it
batches       what all kinds of batches have in common: a pure function of seed and position
  blocks      a stream of tokens cut into blocks of one length
  packed      causal and masked models, from blocks
  sentences   masked models that also tell which segments follow one another
  buckets     pairs and classes: documents of about the same length together
loss          what is minimised
optimizers    AdamW, and Muon with AdamW, as one optimizer
schedule      the learning rate's share at a step
precision     what the processor or GPU really has
model         the model from its settings, from scratch or from a base, and its folder
checkpoints   what a killed training goes on from
history       the curve, as history.csv has it
plan          everything that a training depends on
loop          the training loop
log           what it says while it runs: rows, points of the record, an error once a value is not finite
work          the stage, from its inputs to its report

A killed training goes on from its last whole checkpoint, in data/<recipe>/checkpoints/<identity>/, and ends with the
same bytes as one that was never killed: on the same machine, with the same number of threads.
"""

LIBRARIES = ("accelerate", "numpy", "peft", "safetensors", "tokenizers", "torch", "transformers")
"""Another release of one of these may give other bytes."""
