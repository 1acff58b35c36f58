"""When: Prefect flows over the graph in `dvc.yaml`, and the command line.

graph       the resolved graph of dvc.yaml and what DVC finds changed in it
tied        a program that ends with whoever started it
launch      such a program in a process group of its own: its lines, its time-out, its end
workspace   one run per recipe and workspace at a time
stage       one stage of DVC as one task of Prefect
pipeline    the flow: all stages of a recipe in order, then the register
summary     what a run did, for people
api         Prefect's temporary API where no server is configured
schedule    a deployment with a schedule on the configured server
"""
