"""gptmill plans, trains and measures GPT language models."""

__version__ = "0.1.0"
