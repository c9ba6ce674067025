"""How fast ds2 is, measured beside the usual way of doing the same work: python -m benchmarks."""
