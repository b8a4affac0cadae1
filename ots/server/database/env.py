"""What alembic runs for a migration: on the connection and in the transaction of the caller."""

from __future__ import annotations

from alembic import context

from ots.server.database.form import all_tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=all_tables(),
    transactional_ddl=False,
    render_as_batch=True,
)
context.run_migrations()
