"""The tables as they were first released."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("must_change", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=("pk_account")),
        sa.UniqueConstraint("name", name=("uq_account_name")),
    )
    op.create_table(
        "artifact",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=("pk_artifact")),
    )
    op.create_table(
        "audit",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("department_id", _NUMBER, nullable=True),
        sa.Column("project_id", _NUMBER, nullable=True),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=("pk_audit")),
    )
    op.create_table(
        "department",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=("pk_department")),
        sa.UniqueConstraint("number", name=("uq_department_number")),
    )
    op.create_table(
        "report_artifact",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("report_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("agent_id", "report_id", "sha256", name=("pk_report_artifact")),
    )
    op.create_index(("ix_report_artifact_sha256"), "report_artifact", ["sha256"], unique=False)
    op.create_table(
        "revision",
        sa.Column("report_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("parent_sha256", sa.Text(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("signature", sa.Text(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("received", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("report_id", "agent_id", "revision", name=("pk_revision")),
    )
    op.create_table(
        "server",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=("pk_server")),
    )
    op.create_table(
        "api_token",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("account_id", _NUMBER, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("used", sa.Double(), nullable=True),
        sa.Column("revoked", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=("fk_api_token_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=("pk_api_token")),
    )
    op.create_index(("ix_api_token_account_id"), "api_token", ["account_id"], unique=False)
    op.create_table(
        "project",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("department_id", _NUMBER, nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["department_id"], ["department.id"], name=("fk_project_department_id")),
        sa.PrimaryKeyConstraint("id", name=("pk_project")),
        sa.UniqueConstraint("department_id", "number", name=("uq_project_department_id")),
    )
    op.create_table(
        "web_session",
        sa.Column("id_hash", sa.Text(), nullable=False),
        sa.Column("account_id", _NUMBER, nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("used", sa.Double(), nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=("fk_web_session_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id_hash", name=("pk_web_session")),
    )
    op.create_index(("ix_web_session_account_id"), "web_session", ["account_id"], unique=False)
    op.create_table(
        "agent",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("public_key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("department_id", _NUMBER, nullable=True),
        sa.Column("project_id", _NUMBER, nullable=True),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("token_id", sa.Text(), nullable=True),
        sa.Column("replaces", sa.Text(), nullable=True),
        sa.Column("possible_clone", sa.Text(), nullable=True),
        sa.Column("enrolled", sa.Double(), nullable=False),
        sa.Column("seen", sa.Double(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("clock_offset", sa.Double(), nullable=True),
        sa.Column("waiting", sa.Integer(), nullable=True),
        sa.Column("info", sa.Text(), nullable=True),
        sa.Column("info_sent", sa.Text(), nullable=True),
        sa.Column("revoked", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["department_id"], ["department.id"], name=("fk_agent_department_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=("fk_agent_project_id")),
        sa.PrimaryKeyConstraint("agent_id", name=("pk_agent")),
    )
    op.create_index("ix_agent_scope", "agent", ["department_id", "project_id"], unique=False)
    op.create_table(
        "enrolment_token",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("department_id", _NUMBER, nullable=True),
        sa.Column("project_id", _NUMBER, nullable=True),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("max_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("approval", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("revoked", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["department_id"], ["department.id"], name=("fk_enrolment_token_department_id")
        ),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=("fk_enrolment_token_project_id")),
        sa.PrimaryKeyConstraint("id", name=("pk_enrolment_token")),
    )
    op.create_table(
        "role_grant",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("account_id", _NUMBER, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("department_id", _NUMBER, nullable=True),
        sa.Column("project_id", _NUMBER, nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=("fk_role_grant_account_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["department_id"], ["department.id"], name=("fk_role_grant_department_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=("fk_role_grant_project_id")),
        sa.PrimaryKeyConstraint("id", name=("pk_role_grant")),
    )
    op.create_index(("ix_role_grant_account_id"), "role_grant", ["account_id"], unique=False)
    op.create_table(
        "gap",
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("gap_id", sa.Text(), nullable=False),
        sa.Column("first_seq", _NUMBER, nullable=False),
        sa.Column("last_seq", _NUMBER, nullable=False),
        sa.Column("count", _NUMBER, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("noticed", sa.Text(), nullable=False),
        sa.Column("received", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name=("fk_gap_agent_id")),
        sa.PrimaryKeyConstraint("agent_id", "gap_id", name=("pk_gap")),
    )
    op.create_table(
        "licence",
        sa.Column("licence_id", sa.Text(), nullable=False),
        sa.Column("serial", _NUMBER, nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=True),
        sa.Column("project_id", _NUMBER, nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("issued", sa.Double(), nullable=False),
        sa.Column("issued_by", sa.Text(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("not_after", sa.Double(), nullable=True),
        sa.Column("revoked", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name=("fk_licence_agent_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=("fk_licence_project_id")),
        sa.PrimaryKeyConstraint("licence_id", name=("pk_licence")),
        sa.UniqueConstraint("serial", name=("uq_licence_serial")),
    )
    op.create_index(("ix_licence_agent_id"), "licence", ["agent_id"], unique=False)
    op.create_index(("ix_licence_project_id"), "licence", ["project_id"], unique=False)
    op.create_table(
        "licence_request",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("made", sa.Double(), nullable=False),
        sa.Column("decided", sa.Double(), nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("granted", sa.Boolean(), nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name=("fk_licence_request_agent_id")),
        sa.PrimaryKeyConstraint("id", name=("pk_licence_request")),
    )
    op.create_index(("ix_licence_request_agent_id"), "licence_request", ["agent_id"], unique=False)
    op.create_table(
        "report",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("report_id", sa.Text(), nullable=False),
        sa.Column("department_id", _NUMBER, nullable=True),
        sa.Column("project_id", _NUMBER, nullable=True),
        sa.Column("seq", _NUMBER, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("case_version", sa.Integer(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("start", sa.Double(), nullable=False),
        sa.Column("duration", sa.Double(), nullable=True),
        sa.Column("job", sa.Text(), nullable=True),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("targets", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("received", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.agent_id"], name=("fk_report_agent_id")),
        sa.ForeignKeyConstraint(["department_id"], ["department.id"], name=("fk_report_department_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=("fk_report_project_id")),
        sa.PrimaryKeyConstraint("id", name=("pk_report")),
        sa.UniqueConstraint("agent_id", "report_id", name="uq_report_name"),
    )
    op.create_index("ix_report_scope", "report", ["department_id", "project_id", "id"], unique=False)
    op.create_index("ix_report_seq", "report", ["agent_id", "seq"], unique=False)
    op.create_index("ix_report_start", "report", ["start"], unique=False)
