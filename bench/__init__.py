"""The benchmarks: each prints its figures and the ratio to its baseline; `python -m bench --help` teaches them."""
