"""The benchmarks of `make bench`. Every figure is a ratio against a peer measured in the same run."""
