"""Copies of a server for a bad day: one archive, and a server made from it."""
