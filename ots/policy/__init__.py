"""What an agent may do to others: who asks, for what, against whom, how fast, how much and when. Pure."""
