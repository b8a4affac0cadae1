"""Real third-party programs that the tests measure against, started on free ports of the loopback."""
