"""What came after the first form: see the tables' own modules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "assignment",
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("department_id", _NUMBER, nullable=True),
        sa.Column("project_id", _NUMBER, nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("retired", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["department_id"], ["department.id"], name="fk_assignment_department_id"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_assignment_project_id"),
        sa.PrimaryKeyConstraint("assignment_id", name="pk_assignment"),
    )
    with op.batch_alter_table("assignment", schema=None) as batch_op:
        batch_op.create_index("ix_assignment_department_id", ["department_id"], unique=False)
        batch_op.create_index("ix_assignment_project_id", ["project_id"], unique=False)

    op.create_table(
        "arrival",
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("planned", sa.Double(), nullable=False),
        sa.Column("report", _NUMBER, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("received", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name="fk_arrival_agent_id"),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignment.assignment_id"], name="fk_arrival_assignment_id"
        ),
        sa.PrimaryKeyConstraint("assignment_id", "agent_id", "planned", name="pk_arrival"),
    )
    op.create_table(
        "assignment_fetch",
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fetched", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name="fk_assignment_fetch_agent_id"),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignment.assignment_id"], name="fk_assignment_fetch_assignment_id"
        ),
        sa.PrimaryKeyConstraint("assignment_id", "agent_id", name="pk_assignment_fetch"),
    )
    with op.batch_alter_table("assignment_fetch", schema=None) as batch_op:
        batch_op.create_index("ix_assignment_fetch_agent_id", ["agent_id"], unique=False)

    with op.batch_alter_table("report", schema=None) as batch_op:
        batch_op.add_column(sa.Column("keep_until", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("removed", sa.Double(), nullable=True))
        batch_op.create_index(
            "ix_report_kept",
            ["keep_until", "received"],
            unique=False,
            sqlite_where=sa.text("removed IS NULL"),
            postgresql_where=sa.text("removed IS NULL"),
        )
