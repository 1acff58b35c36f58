"""The code that MLflow runs for a registered model: texts in, one prediction per text out, in order.

server    how MLflow's server reads a request
shared    the base class
causal    prompts in, prompts with continuations out
pairs     texts in, translations or summaries out
masked    texts with masks in, filled texts and the likeliest tokens out
classes   texts in, labels with probabilities out

MLflow runs a single file, stored with every version, without the project: `tasks.register.package` joins
`tasks.formats.text_ids`, `server`, `shared` and one other module into it. So these modules import only these three
from the project, and no module imports them.
"""
