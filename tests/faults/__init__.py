"""Tests of what goes wrong: silence, resets, lies, full disks, stepped clocks, kills."""
