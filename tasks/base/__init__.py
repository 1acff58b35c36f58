"""The model that a recipe starts from: `python -m tasks.base bert-sections`.

in    the recipe's key `model.init`, and its origin: another recipe's model, a folder, a package or the Hub
out   data/<recipe>/base/   config.json, safetensors weights and the tokenizer, whatever the source format;
                            for `init: scratch`, only a report

settings  `model.init` alone
work      from origin to folder, one function per kind
gguf      llama.cpp weights to safetensors
"""

LIBRARIES = ("gguf", "safetensors", "transformers")
"""Another release of any of these may change the output bytes."""
