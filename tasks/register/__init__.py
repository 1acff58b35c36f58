"""python -m tasks.register shakespeare

in   the recipe, dvc.lock, and what all stages left under data/<recipe>/, model/, training/ and evaluation/ first of all
out  MLflow: the completed record of the training, a version of the registered model, its alias;
     data/<recipe>/registration.json, which tells what was registered and why;
     data/<recipe>/recorded.json, by which the next run knows whether there is anything to do

Not a stage of DVC, which would skip it: it has side effects. Running it again changes nothing.

registration  the way through the room
results       what the stages left behind, read
base          the model that the training started from
scores        the numbers of the evaluation sorted out: metrics, intervals, baselines, counts
sync_run      the record in MLflow made whole from the files
card          the model card
package       the model in MLflow's format
schema        what the registered model takes and gives, by its task
promotion     champion or challenger, and why
registry      versions and aliases
recorded      whether the record is whole, known without MLflow
place         where the record is: in a `database` or behind a `server`, and its rows there
champion      what is registered, for the command line: the champion, another champion, the runs
predict       the champion at work
"""
