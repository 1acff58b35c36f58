"""Work on several processors or machines.

parallel_map   a function over many items, in order, by processes, threads or a cluster
threads        the same in one process
clusters       Ray and Dask
system         memory and threads, set before torch is loaded
"""
