"""Migrations, one module a step. Never edit one that was released."""
