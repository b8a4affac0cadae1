"""What may run: the licence policy."""
