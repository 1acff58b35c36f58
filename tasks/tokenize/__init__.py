"""Learn a vocabulary from the training split, or take that of the base model, and turn every split into token ids.

    python -m tasks.tokenize shakespeare

reads   data/<recipe>/clean/{train,validation,test}/
        data/<recipe>/base/                         `kind: base`: its tokenizer, used unchanged
writes  data/<recipe>/tokenizer/                    a Hugging Face tokenizer, loaded by AutoTokenizer; in `target/` that
                                                    of the other side of pairs, where it has a vocabulary of its own
        data/<recipe>/tokens/{train,validation,test}/  memory-mapped shards (format: tasks/formats/tokens.py)

settings    the section `tokenize`
specials    the special tokens of each task
vocabulary  byte-level BPE, Unigram and WordPiece, learned and saved
engine      texts to ids
codec       a tokenizer with what the work needs of it, learned here or the base's
work        a split after the other; `labels` of classes beside it
"""

LIBRARIES = ("gigatoken", "numpy", "sentencepiece", "tokenizers", "transformers")
"""Another release of one of these may give other bytes."""
