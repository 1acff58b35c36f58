"""What the code of each stage is, for DVC: `python -m tasks.code`, the stage `code` of dvc.yaml.

in    tasks/, requirements.lock
out   data/code/<stage>.json   {"version": 1, "libraries": {…}}; where `tasks/code.yaml` does not list the code of the
                               stage, its hash in place of the version

Every other stage depends on its file and on no source file, so that it runs again when its code does something else,
and not when a comment changes. `make same` lists code that gives the same bytes as the code before it.
"""
