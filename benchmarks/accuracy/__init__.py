"""Accuracy of the retrieval on simulated scenes and on a field campaign; `benchmarks/accuracy.py` runs it."""
