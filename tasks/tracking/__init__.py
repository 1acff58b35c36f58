"""MLflow.

embedded    the record inside the project, which moves with it
dead        whether a training still runs
client      access to the server: is it reachable, which run belongs to a model, what the run lacks
commit      git: the commit of this project
outside     modules that stages import from outside of the known code
provenance  what a run came from: commit, changes, files that git does not know
record      the live record of a training run
"""
