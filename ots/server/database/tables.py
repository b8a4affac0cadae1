"""The tables of the server. Times are seconds since 1970 in UTC; secrets stand here only as hashes.

A report belongs to the department and project that its agent had when it arrived. A row of `revision` never
changes, except that retention may take its body away and leave the hash.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Number = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts only INTEGER keys by itself."""

server = Table(
    "server", metadata, Column("name", Text, primary_key=True), Column("value", Text, nullable=False)
)

department = Table(
    "department",
    metadata,
    Column("id", Number, primary_key=True),
    Column("number", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
)

project = Table(
    "project",
    metadata,
    Column("id", Number, primary_key=True),
    Column("department_id", Number, ForeignKey("department.id"), nullable=False),
    Column("number", Text, nullable=False),
    Column("name", Text, nullable=False),
    UniqueConstraint("department_id", "number"),
)

account = Table(
    "account",
    metadata,
    Column("id", Number, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("password_hash", Text, nullable=False),
    Column("must_change", Boolean, nullable=False, default=False),
    Column("disabled", Boolean, nullable=False, default=False),
    Column("created", Double, nullable=False),
)

role_grant = Table(
    "role_grant",
    metadata,
    Column("id", Number, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("role", Text, nullable=False),
    Column("department_id", Number, ForeignKey("department.id"), nullable=True),
    Column("project_id", Number, ForeignKey("project.id"), nullable=True),
)

web_session = Table(
    "web_session",
    metadata,
    Column("id_hash", Text, primary_key=True),
    Column("account_id", Number, ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created", Double, nullable=False),
    Column("used", Double, nullable=False),
    Column("csrf", Text, nullable=False),
)

api_token = Table(
    "api_token",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret_hash", Text, nullable=False),
    Column("account_id", Number, ForeignKey("account.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("used", Double, nullable=True),
    Column("revoked", Double, nullable=True),
)

enrolment_token = Table(
    "enrolment_token",
    metadata,
    Column("id", Text, primary_key=True),
    Column("secret_hash", Text, nullable=False),
    Column("department_id", Number, ForeignKey("department.id"), nullable=True),
    Column("project_id", Number, ForeignKey("project.id"), nullable=True),
    Column("tier", Text, nullable=False),
    Column("max_uses", Integer, nullable=False),
    Column("uses", Integer, nullable=False, default=0),
    Column("approval", Boolean, nullable=False),
    Column("note", Text, nullable=False, default=""),
    Column("created", Double, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("expires", Double, nullable=False),
    Column("revoked", Double, nullable=True),
)

agent = Table(
    "agent",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("public_key", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("department_id", Number, ForeignKey("department.id"), nullable=True),
    Column("project_id", Number, ForeignKey("project.id"), nullable=True),
    Column("tier", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("fingerprint", Text, nullable=True),
    Column("token_id", Text, nullable=True),
    Column("replaces", Text, nullable=True),
    Column("possible_clone", Text, nullable=True),
    Column("enrolled", Double, nullable=False),
    Column("seen", Double, nullable=True),
    Column("address", Text, nullable=True),
    Column("clock_offset", Double, nullable=True),
    Column("waiting", Integer, nullable=True),
    Column("info", Text, nullable=True),
    Column("info_sent", Text, nullable=True),
    Column("revoked", Double, nullable=True),
    Index("ix_agent_scope", "department_id", "project_id"),
)

licence = Table(
    "licence",
    metadata,
    Column("licence_id", Text, primary_key=True),
    Column("serial", Number, nullable=False, unique=True),
    Column("tier", Text, nullable=False),
    Column("agent_id", Text, ForeignKey("agent.agent_id"), nullable=True, index=True),
    Column("project_id", Number, ForeignKey("project.id"), nullable=True, index=True),
    Column("text", Text, nullable=False),
    Column("issued", Double, nullable=False),
    Column("issued_by", Text, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("not_after", Double, nullable=True),
    Column("revoked", Double, nullable=True),
)

licence_request = Table(
    "licence_request",
    metadata,
    Column("id", Number, primary_key=True),
    Column("agent_id", Text, ForeignKey("agent.agent_id"), nullable=False, index=True),
    Column("tier", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("made", Double, nullable=False),
    Column("decided", Double, nullable=True),
    Column("decided_by", Text, nullable=True),
    Column("granted", Boolean, nullable=True),
)

report = Table(
    "report",
    metadata,
    Column("id", Number, primary_key=True),
    Column("agent_id", Text, ForeignKey("agent.agent_id"), nullable=False),
    Column("report_id", Text, nullable=False),
    Column("department_id", Number, ForeignKey("department.id"), nullable=True),
    Column("project_id", Number, ForeignKey("project.id"), nullable=True),
    Column("seq", Number, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("case_id", Text, nullable=False),
    Column("case_version", Integer, nullable=True),
    Column("state", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("start", Double, nullable=False),
    Column("duration", Double, nullable=True),
    Column("job", Text, nullable=True),
    Column("tier", Text, nullable=False),
    Column("targets", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("received", Double, nullable=False),
    Column("keep_until", Double, nullable=True),
    Column("removed", Double, nullable=True),
    UniqueConstraint("agent_id", "report_id", name="uq_report_name"),
    Index("ix_report_scope", "department_id", "project_id", "id"),
    Index("ix_report_seq", "agent_id", "seq"),
    Index("ix_report_start", "start"),
    Index(
        "ix_report_kept",
        "keep_until",
        "received",
        sqlite_where=text("removed IS NULL"),
        postgresql_where=text("removed IS NULL"),
    ),
)

revision = Table(
    "revision",
    metadata,
    Column("report_id", Text, primary_key=True),
    Column("agent_id", Text, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("parent_sha256", Text, nullable=True),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=True),
    Column("signature", Text, nullable=True),
    Column("receipt", Text, nullable=True),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=True),
    Column("received", Double, nullable=False),
)

artifact = Table(
    "artifact",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("received", Double, nullable=False),
)

report_artifact = Table(
    "report_artifact",
    metadata,
    Column("agent_id", Text, primary_key=True),
    Column("report_id", Text, primary_key=True),
    Column("sha256", Text, primary_key=True, index=True),
)

gap = Table(
    "gap",
    metadata,
    Column("agent_id", Text, ForeignKey("agent.agent_id"), primary_key=True),
    Column("gap_id", Text, primary_key=True),
    Column("first_seq", Number, nullable=False),
    Column("last_seq", Number, nullable=False),
    Column("count", Number, nullable=False),
    Column("reason", Text, nullable=False),
    Column("noticed", Text, nullable=False),
    Column("received", Double, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", Number, primary_key=True),
    Column("time", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("address", Text, nullable=True),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("department_id", Number, nullable=True),
    Column("project_id", Number, nullable=True),
    Column("hash", Text, nullable=False),
)
