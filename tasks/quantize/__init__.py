"""Linear layers with weights in 8 or 4 bits: how they are made, how they lie on disk, how they compute.

calibration   the second moments of each layer's inputs, over training text
rounding      float weights → integers and scales
layout        a model folder with such weights, in the format of compressed-tensors
layers        such layers in memory, on kernels of this machine

The stage `compress` makes them; whatever loads a model folder (`tasks.evaluate.loading`, `tasks.serve`) runs them.
"""
