"""`gristmill sweep RECIPE --over KEY=…`: train a recipe with other settings, and rank them by the validation loss.

work      the whole, in order: a Prefect flow whose task runs are the trials
study     Optuna's database: what to try next, what came of it, what is taken up again
one_trial inputs, training and record of a trial
trials    a trial as it is kept and told, and their order
outcome   the table, the importance of each setting, the picture
"""
