"""The resident agent: what it was told to run, what it runs, and what became of it."""
