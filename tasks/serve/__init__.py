"""The code that MLflow runs for a registered model: texts in, one prediction per text out, in order.

server    how MLflow's server reads a request
shared    the base class
causal    prompts in, prompts with continuations out
pairs     texts in, translations or summaries out
masked    texts with masks in, filled texts and the likeliest tokens out
classes   texts in, labels with probabilities out
chat      conversations in OpenAI's format in, answers out; with

    completions  OpenAI's format
    answering    the text of an answer while its tokens come
    routes       OpenAI's routes in MLflow's server

MLflow runs a single file, stored with every version, without the project: `tasks.register.package` joins
`tasks.formats.text_ids`, `server`, `shared` and one other module into it, for chat also `tasks.formats.chat_ids` and
the three above. So these modules import only these from the project, and no module imports them.
"""
