"""Assignments: a case, a group of agents and a schedule; what should have arrived against what did."""
