"""A model from tokens: `python -m tasks.train shakespeare`.

in    tokenizer/, tokens/train/, tokens/validation/; the sections `task`, `model` and `train` of the recipe
out   model/                 safetensors, configuration and tokenizer, as `transformers` loads them
      training/history.csv   step, tokens, loss, validation_loss, learning_rate, grad_norm
      training/report.json

settings      the sections `model` and `train`
catalogue     which architectures there are and what they can be told, read without importing transformers
blocks        the data: a pure function of seed and position
optimizers    AdamW, and Muon with AdamW, as one optimizer
schedule      the learning rate's share at a step
precision     what the processor or GPU really has
memory        keeps what a step frees for the next one
model         the model from its settings, and its folder
checkpoints   what a killed training goes on from
history       the curve that is written down
training      Hugging Face's Trainer, put to work
work          the stage, from its inputs to its report

A killed training goes on from its last whole checkpoint, in data/<recipe>/checkpoints/<identity>/, and ends with the
same bytes as one that was never killed: on the same machine, with the same number of threads.
"""
