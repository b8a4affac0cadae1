"""What people write: cases, parameters, targets, thresholds."""
