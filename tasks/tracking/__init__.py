"""MLflow.

embedded  the record inside the project, which moves with it
dead      whether a training still runs
client    access to the server: is it reachable, which run belongs to a model, what the run lacks
record    the live record of a training run
"""
