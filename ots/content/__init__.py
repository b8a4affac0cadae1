"""Signed content: one TUF repository of cases, server list, licence keys and revocations."""
