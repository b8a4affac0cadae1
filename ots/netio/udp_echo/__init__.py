"""The OTS echo protocol over UDP: round trips, and what got lost on which way."""
