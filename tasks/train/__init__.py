"""Train a model on tokens: `python -m tasks.train shakespeare`.

in    base/ (empty when training from scratch), tokenizer/, tokens/train/, tokens/validation/; the recipe's sections
      `task`, `model` and `train`
out   model/                 safetensors, config and tokenizer, loadable by `transformers`, plus gristmill.json;
                             model/adapter/ with `model.lora.keep_adapter`
      training/history.csv   step, tokens, loss, validation_loss, learning_rate, grad_norm; for preferences also
                             validation_accuracy, validation_margin
      training/report.json

settings      the sections `model` and `train`, by task
catalogue     transformers' architectures and their config keys, read without importing transformers
vocabulary    token ids and sizes that the model and its batches need
batches       the interface of all batches: a pure function of seed and position
  blocks      a token stream cut into fixed-length blocks
  packed      batches of blocks, for causal and masked models
  sentences   batches of segment pairs, for next-sentence prediction
  buckets     batches of documents of similar length, for pairs and classification
  conversations  batches of conversations, packed or of similar length
  preferences    batches of conversations with a chosen and a rejected answer
loss          the training loss
preference_loss  DPO, IPO, KTO, ORPO, SimPO
reference     the base's log-probabilities, for preference losses: computed once, kept beside the checkpoints
optimizers    AdamW, and Muon with AdamW, as one optimizer
schedule      the learning rate schedule
precision     number formats the hardware supports
model         build a model from scratch or from a base, and save it
lora          low-rank adapters, on weights in 32 or 4 bits; merged at the end
weights       the weights that a training changes
average       their mean over the last steps
state         what a checkpoint holds: a copy, and going on from it
identity      the values that the identity of a training is the hash of
checkpoints   the folder of checkpoints: complete, damaged, not needed any more
writer        when a checkpoint is due, and the thread that writes it
earlier       trainings of another length, whose first steps are the same
history       the learning curve, history.csv
plan          everything a training run depends on
loop          the training loop
log           history rows, tracked metrics, an error at the first non-finite value
work          the stage, from inputs to report

An interrupted run resumes from its last complete checkpoint in data/<recipe>/checkpoints/<identity>/. On the same
machine and thread count, the result is byte-identical to an uninterrupted run.
"""

LIBRARIES = ("accelerate", "numpy", "peft", "safetensors", "tokenizers", "torch", "transformers")
"""Libraries whose version can change the output."""
