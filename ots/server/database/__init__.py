"""What the server keeps, in SQLite or in PostgreSQL: the same tables and the same statements."""
