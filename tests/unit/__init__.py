"""Tests of pure code: no socket, no sleep, a fake clock."""
