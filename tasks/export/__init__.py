"""Write the model for other runtimes, and compare each with PyTorch: `python -m tasks.export minilm-sections`.

in    model/, tokens/validation/ (text that the model was not trained on); the recipe's `task` and section `export`
out   exported/<format>/       the files, beside tokenizer, config.json and gristmill.json
      exported/report.json     of each format: bytes, the largest difference of a logit, how often it chooses the same
and   export-speed.json        of each format: how many times as fast as PyTorch. No output: it depends on the machine

work        format by format
onnx_parts  the parts of a model as functions of tensors alone: what ONNX can hold
onnx_files  convert them, without a path or a time in the files
onnx_run    run the files by ONNX Runtime, as PyTorch runs the model
gguf_files  write a causal model for llama.cpp
gguf_run    run such a file by llama.cpp, in a process of its own
compare     how far the files are from PyTorch, and how fast
settings    the section `export`
"""

LIBRARIES = ("gguf", "numpy", "onnx", "onnxruntime", "onnxscript", "tokenizers", "torch", "transformers", "xllamacpp")
"""Libraries whose version can change the output."""
