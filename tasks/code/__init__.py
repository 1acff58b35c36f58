"""The code version of each stage, for DVC: `python -m tasks.code`, the stage `code` of dvc.yaml.

in    tasks/, requirements.lock
out   data/code/<stage>.json   {"version": 1, "libraries": {…}}; code that `tasks/code.yaml` does not list has its hash
                               instead of a version

Every other stage depends on its own file here and on no source file, so it reruns when its code does something else,
not when a comment changes. `make same` lists code that gives the same bytes as before.
"""
