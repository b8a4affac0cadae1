"""Statistics as METRICS defines them: pure functions, each with its reference."""
