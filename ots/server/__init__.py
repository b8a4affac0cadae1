"""The cloud test server and its embedded test peers."""
