"""Learn a vocabulary from the training split, or use the base model's, and encode every split.

    python -m tasks.tokenize shakespeare

reads   data/<recipe>/clean/{train,validation,test}/
        data/<recipe>/base/                         with `kind: base`, its tokenizer
writes  data/<recipe>/tokenizer/                    a Hugging Face tokenizer for AutoTokenizer; `target/` has a second
                                                    one if targets have their own vocabulary
        data/<recipe>/tokens/{train,validation,test}/  memory-mapped shards (format: tasks/formats/tokens.py)

settings    the section `tokenize`
specials    the special tokens of each task
vocabulary  byte-level BPE, Unigram and WordPiece, learned and saved
engine      texts to ids
codec       a tokenizer, learned here or the base's, ready for the stage
labels      the classes of documents
work        the stage: one split after the other
"""

LIBRARIES = ("gigatoken", "numpy", "sentencepiece", "tokenizers", "transformers")
"""A new release of any of these may change the output."""
