"""The engine: a plan goes in, steps and a report come out. It knows no probe by name."""
