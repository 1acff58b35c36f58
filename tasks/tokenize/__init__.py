"""Train a tokenizer on the training split and turn every split into token ids.

    python -m tasks.tokenize shakespeare

reads   data/<recipe>/clean/{train,validation,test}/
writes  data/<recipe>/tokenizer/                    a Hugging Face tokenizer, loaded by AutoTokenizer
        data/<recipe>/tokens/{train,validation,test}/  memory-mapped shards (format: tasks/contract/tokens.py)
"""
