"""The tables of remote control: tags of agents, commands and what became of them, runs of several agents.

A command that is `created` waits for its turn in a group run and is not signed yet. `progress` is the last
that was heard of a run, written in batches.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, ForeignKey, Index, Integer, Table, Text

from ots.server.database.tables import metadata

_Number = BigInteger().with_variant(Integer, "sqlite")

agent_tag = Table(
    "agent_tag",
    metadata,
    Column("agent_id", Text, ForeignKey("agent.agent_id"), primary_key=True),
    Column("tag", Text, primary_key=True, index=True),
)

presence = Table(
    "presence",
    metadata,
    Column("agent_id", Text, ForeignKey("agent.agent_id"), primary_key=True),
    Column("line", Text, nullable=False),
    Column("way", Text, nullable=False),
    Column("since", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
)

command_counter = Table(
    "command_counter",
    metadata,
    Column("agent_id", Text, ForeignKey("agent.agent_id"), primary_key=True),
    Column("seq", _Number, nullable=False),
)

group_run = Table(
    "group_run",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("state", Text, nullable=False, index=True),
    Column("stage", Integer, nullable=False),
    Column("stages", Text, nullable=False),
    Column("case_name", Text, nullable=False),
    Column("args", Text, nullable=False),
    Column("selector", Text, nullable=False),
    Column("alive", Double, nullable=False),
    Column("spread", Double, nullable=False),
    Column("stop_at", Double, nullable=False),
    Column("created", Double, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("ended", Double, nullable=True),
    Column("reason", Text, nullable=True),
)

group_run_agent = Table(
    "group_run_agent",
    metadata,
    Column("run_id", Text, ForeignKey("group_run.run_id"), primary_key=True),
    Column("agent_id", Text, ForeignKey("agent.agent_id"), primary_key=True, index=True),
    Column("stage", Integer, nullable=False),
    Column("command_id", Text, nullable=True),
    Column("refused", Text, nullable=True),
)

command = Table(
    "command",
    metadata,
    Column("command_id", Text, primary_key=True),
    Column("agent_id", Text, ForeignKey("agent.agent_id"), nullable=False),
    Column("run_id", Text, ForeignKey("group_run.run_id"), nullable=True, index=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("seq", _Number, nullable=False),
    Column("text", Text, nullable=False),
    Column("args", Text, nullable=False),
    Column("issued", Double, nullable=False),
    Column("issued_by", Text, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("not_after", Double, nullable=False),
    Column("lost_after", Double, nullable=True),
    Column("changed", Double, nullable=False),
    Column("reason", Text, nullable=True),
    Column("said", Text, nullable=True),
    Column("verdict", Text, nullable=True),
    Column("report_id", Text, nullable=True),
    Column("answer", Text, nullable=True),
    Column("progress", Text, nullable=True),
    Column("open", Boolean, nullable=False),
    Index("ix_command_agent", "agent_id", "open"),
    Index("ix_command_open", "open", "state"),
    Index("ix_command_changed", "changed"),
)

command_event = Table(
    "command_event",
    metadata,
    Column("id", _Number, primary_key=True),
    Column("command_id", Text, ForeignKey("command.command_id"), nullable=False, index=True),
    Column("time", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=True),
)
