"""python -m tasks.register shakespeare

in   the recipe, dvc.lock, and the outputs of all stages under data/<recipe>/, above all model/, training/, evaluation/
out  MLflow: the complete record of the training, a version of the registered model, its alias;
     data/<recipe>/registration.json: what was registered and why;
     data/<recipe>/ledger.json: the end of the model's ledger, as this workspace last saw it;
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
provenance    what a run came from, kept with it
promotion     champion or challenger: the rules
gate          a new version meets the champion; the verdict is kept
rival         the champion's scores on the same text, scored again where need be
registry      versions of the registered model
registered    the registered model as it is now
aliases       who gets its aliases, and whether a hand moved them
ledger        reads and checks its events: registered, promoted, refused, rolled back
journal       writes them, and shows the last ones on the model's page
person        who did it
seen          the end of the ledger, as this workspace last saw it
history       the ledger, for the command line
rollback      an earlier champion reigns again
recorded      detects a complete record without MLflow
place         the place of the record (a `database` or a `server`), and its rows
reference     the model that a text names: a recipe, an alias, a version, a run
reproduction  what was recorded of a run, and the verdict of `gristmill reproduce`
champion      the champion and the runs, for the command line; `promote`
predict       runs the champion
noise         models of other seeds, and the spread of their scores
"""
