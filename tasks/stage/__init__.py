"""How a stage runs, and modules that every other module may use.

run        runs one stage: declared inputs, outputs renamed into place, report, exit code
settings   one section of a recipe, read and validated
machine    errors of disk and memory as one sentence
errors     errors as one sentence for the user
runtime    settings that do not change results: GRISTMILL_* and the tools' own variables
progress   a bar on a terminal, plain lines elsewhere
parent     ends a process with its parent
identity   content hashes of settings and files
code       a stage's code version, for DVC and for a training run's identity
task       the tasks: columns they need, metrics, model classes
"""
