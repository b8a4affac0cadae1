"""The tables of assignments: what is to run where and when, who fetched it, and what came of it.

`document` is the assignment as JSON, as people wrote it (ots.remote.assignment_wire.Assignment without its
names). An `arrival` is a report of one planned run, or of all from `planned` to `until` that were missed
together; `state` says what became of it.
"""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Integer, Table, Text

from ots.server.database.tables import Number, metadata

assignment = Table(
    "assignment",
    metadata,
    Column("assignment_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("department_id", Number, ForeignKey("department.id"), nullable=True, index=True),
    Column("project_id", Number, ForeignKey("project.id"), nullable=True, index=True),
    Column("document", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("changed", Double, nullable=False),
    Column("changed_by", Text, nullable=False),
    Column("retired", Double, nullable=True),
)

assignment_fetch = Table(
    "assignment_fetch",
    metadata,
    Column("assignment_id", Text, ForeignKey("assignment.assignment_id"), primary_key=True),
    Column("agent_id", Text, ForeignKey("agent.agent_id"), primary_key=True, index=True),
    Column("version", Integer, nullable=False),
    Column("fetched", Double, nullable=False),
)

arrival = Table(
    "arrival",
    metadata,
    Column("assignment_id", Text, ForeignKey("assignment.assignment_id"), primary_key=True),
    Column("agent_id", Text, ForeignKey("agent.agent_id"), primary_key=True),
    Column("planned", Double, primary_key=True),
    Column("until", Double, nullable=False, index=True),
    Column("report", Number, nullable=False),
    Column("state", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=True),
    Column("started", Double, nullable=False),
    Column("received", Double, nullable=False),
)
