"""Load on a link and round trips under it, each in a process of its own."""
