"""Scripts that run in a peer's own Python: they import nothing of gptmill, and the peer's code is never copied here."""
