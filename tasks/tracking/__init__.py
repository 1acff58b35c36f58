"""MLflow.

client   access to the server: is it reachable, which run belongs to a model, what the run lacks
record   the live record of a training run
"""
