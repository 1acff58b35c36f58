"""`gristmill reproduce RUN`: run the stages of a recorded run again in a clean work tree, and compare every byte.

work         the whole: what is asked for, in order
tree         a clean work tree of the run's commit, with what was not committed
environment  the Python that has the packages of that commit's lock
store        recorded content in DVC's cache and remote, and DVC's hash of any path
inputs       what each stage reads: recorded content, else what was reproduced
execute      runs one stage of the tree
inside       becomes that stage, in a process of its own
judge        the verdict on a stage
curve        the first steps of a training against the recorded history
differ       the first difference between two outputs: document, tensor, row, number
tell         the verdict for people and for the record
"""
