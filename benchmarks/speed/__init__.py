"""Training speed beside others in one run: the same model, data, batch and precision, whole processes that take turns."""
