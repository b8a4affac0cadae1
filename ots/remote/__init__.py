"""What an agent says to its server, and how: wire messages, enrolment, upload."""
