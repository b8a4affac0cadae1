"""The tests of OTS: unit, loopback, lab, faults and packaging; the peers they talk to are in tests.peers."""
