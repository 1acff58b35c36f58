"""python -m tasks.register shakespeare

in   the recipe, dvc.lock, and the outputs of all stages under data/<recipe>/, above all model/, training/, evaluation/
out  MLflow: the complete record of the training, a version of the registered model, its alias;
     data/<recipe>/registration.json: what was registered and why;
     data/<recipe>/recorded.json: tells the next run whether there is anything to do

Not a DVC stage, because it has side effects and DVC would skip it. Running it again changes nothing.

registration  the entry point: completes the record, registers the model
results       reads the outputs of the stages
base          the model that the training started from
scores        metrics, intervals, baselines and counts of the evaluation
sync_run      completes the MLflow run from files
card          the model card
artifacts     whether files of runs and models are there and whole
package       the model in MLflow's format
schema        inputs, outputs and parameters of the registered model, by task
promotion     champion or challenger, and why
registry      versions of the registered model
aliases       who holds its aliases, and whether a hand moved them
recorded      detects a complete record without MLflow
place         the place of the record (a `database` or a `server`), and its rows
champion      the champion and the runs, for the command line; `promote`
predict       runs the champion
noise         models of other seeds, and the spread of their scores
"""
