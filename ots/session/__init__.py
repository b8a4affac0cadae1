"""Sessions: load, plan, run, store. One home for the command line and for the agent."""
