"""Embedded test peers: real servers on loopback for demo, samples and tests."""
