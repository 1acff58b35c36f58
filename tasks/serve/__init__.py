"""The registered model as MLflow runs it: texts in, a prediction for each of them out, in their order.

shared    what all kinds have in common
causal    prompts in, the prompts with their continuations out
pairs     texts in, their translations or summaries out
masked    texts with masks in, the texts with the masks filled and the likeliest tokens out
classes   texts in, labels with their probabilities out

MLflow runs one file, of which every version has a copy, and which knows nothing of the project: `package` joins
`shared` and a kind to it. So these modules import nothing of ours but `shared`, and nothing of ours imports them.
"""
