"""ICMP echo: packets, sockets, one session for many hosts, and the system's ping as a last resort."""
