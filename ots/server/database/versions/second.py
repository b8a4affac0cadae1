"""What came after the first form: see the tables' own modules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "group_run",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("stages", sa.Text(), nullable=False),
        sa.Column("case_name", sa.Text(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("alive", sa.Double(), nullable=False),
        sa.Column("spread", sa.Double(), nullable=False),
        sa.Column("stop_at", sa.Double(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", name="pk_group_run"),
    )
    with op.batch_alter_table("group_run", schema=None) as batch_op:
        batch_op.create_index("ix_group_run_state", ["state"], unique=False)

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
        "agent_tag",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name="fk_agent_tag_agent_id"),
        sa.PrimaryKeyConstraint("agent_id", "tag", name="pk_agent_tag"),
    )
    with op.batch_alter_table("agent_tag", schema=None) as batch_op:
        batch_op.create_index("ix_agent_tag_tag", ["tag"], unique=False)

    op.create_table(
        "arrival",
        sa.Column("assignment_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("planned", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
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
    with op.batch_alter_table("arrival", schema=None) as batch_op:
        batch_op.create_index("ix_arrival_until", ["until"], unique=False)

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

    op.create_table(
        "command",
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("seq", _NUMBER, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("issued", sa.Double(), nullable=False),
        sa.Column("issued_by", sa.Text(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("not_after", sa.Double(), nullable=False),
        sa.Column("lost_after", sa.Double(), nullable=True),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("said", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("report_id", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name="fk_command_agent_id"),
        sa.ForeignKeyConstraint(["run_id"], ["group_run.run_id"], name="fk_command_run_id"),
        sa.PrimaryKeyConstraint("command_id", name="pk_command"),
    )
    with op.batch_alter_table("command", schema=None) as batch_op:
        batch_op.create_index("ix_command_agent", ["agent_id", "open"], unique=False)
        batch_op.create_index("ix_command_changed", ["changed"], unique=False)
        batch_op.create_index("ix_command_open", ["open", "state"], unique=False)
        batch_op.create_index("ix_command_run_id", ["run_id"], unique=False)

    op.create_table(
        "command_counter",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("seq", _NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name="fk_command_counter_agent_id"),
        sa.PrimaryKeyConstraint("agent_id", name="pk_command_counter"),
    )
    op.create_table(
        "group_run_agent",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("command_id", sa.Text(), nullable=True),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name="fk_group_run_agent_agent_id"),
        sa.ForeignKeyConstraint(["run_id"], ["group_run.run_id"], name="fk_group_run_agent_run_id"),
        sa.PrimaryKeyConstraint("run_id", "agent_id", name="pk_group_run_agent"),
    )
    with op.batch_alter_table("group_run_agent", schema=None) as batch_op:
        batch_op.create_index("ix_group_run_agent_agent_id", ["agent_id"], unique=False)

    op.create_table(
        "presence",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("way", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name="fk_presence_agent_id"),
        sa.PrimaryKeyConstraint("agent_id", name="pk_presence"),
    )
    op.create_table(
        "command_event",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["command_id"], ["command.command_id"], name="fk_command_event_command_id"),
        sa.PrimaryKeyConstraint("id", name="pk_command_event"),
    )
    with op.batch_alter_table("command_event", schema=None) as batch_op:
        batch_op.create_index("ix_command_event_command_id", ["command_id"], unique=False)

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
