"""MLflow.

client   the way to the server: is it there, which run belongs to a model, what is missing in it
record   the live record of a training
"""
