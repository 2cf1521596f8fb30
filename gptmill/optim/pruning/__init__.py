"""Which weights a model can do without: ``METHODS[name]`` scores them, the lowest scores go (pruner.py)."""
