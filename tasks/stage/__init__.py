"""How a stage runs, and what every module may use.

run        the run of one stage: declared inputs in, outputs renamed into place, report, exit code
settings   a section of a recipe, read and checked
errors     what goes wrong, as one sentence for the user
runtime    what does not change a result: GRISTMILL_* and the tools' own variables
progress   a bar on a terminal, plain lines elsewhere
parent     a process that ends with its parent
identity   content hashes of settings and files
code       the code of a stage, as DVC and a training's identity know it
task       the tasks of models: what their documents need, how they are measured
"""
