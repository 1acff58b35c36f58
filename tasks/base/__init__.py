"""The model that a recipe starts from: `python -m tasks.base bert-sections`.

in    the key `model.init` of the recipe, and what it names: another recipe's model, a folder, a package, the Hub
out   data/<recipe>/base/   config.json, weights in safetensors and the tokenizer, whatever they were found as;
                            for `init: scratch` its report alone

settings  `model.init` by itself
work      from an origin to a folder; one function a kind
gguf      weights in llama.cpp's format to plain ones
"""

LIBRARIES = ("gguf", "safetensors", "transformers")
"""Another release of one of these may give other bytes."""
