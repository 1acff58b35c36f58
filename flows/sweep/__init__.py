"""`gristmill sweep RECIPE --over KEY=…`: train a recipe with other settings, and rank them by the validation loss.

trials    a trial as it is kept and told, and their order
outcome   the table, the importance of each setting, the picture
"""
