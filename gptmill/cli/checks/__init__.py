"""What ``gptmill doctor`` looks at. Each check is a function without arguments that returns a Finding."""
