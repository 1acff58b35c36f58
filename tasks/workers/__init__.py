"""Parallel work on several cores or machines.

parallel_map   an ordered map over items, by processes, threads or a cluster
threads        the same by threads of one process
clusters       the same on Ray or Dask
system         memory and thread settings, made before torch is loaded
"""
