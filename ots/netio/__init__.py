"""Sockets for the probes: resolve, dial, TLS, ICMP, transfer."""
