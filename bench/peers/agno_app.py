"""Agno's AgentOS as its documentation sets it up, with one agent. Runs in a virtual environment of its own.

BENCH_MODE is `default` (SQLite) or `queue` (durable queue on PostgreSQL); BENCH_DB is a file, or an address of
SQLAlchemy's: postgresql+psycopg:// gives the adapter of Agno's example, postgresql+asyncpg:// the asynchronous one.
"""

import os

from agno.agent import Agent
from agno.db.postgres import AsyncPostgresDb, PostgresDb
from agno.db.sqlite import SqliteDb
from agno.models.openai import OpenAIChat
from agno.os import AgentOS, QueueConfig

is_queue = os.environ["BENCH_MODE"] == "queue"
place = os.environ["BENCH_DB"]

if not is_queue:
    db = SqliteDb(db_file=place)
elif "asyncpg" in place:
    db = AsyncPostgresDb(db_url=place)
else:
    db = PostgresDb(db_url=place)

agent = Agent(
    id="bench",
    name="Bench",
    model=OpenAIChat(id="stub", base_url=os.environ["OPENAI_BASE_URL"], api_key="x"),
    db=db,
    instructions="You are a friendly assistant. Answer briefly.",
    add_history_to_context=True,
    telemetry=False,
)
agent_os = AgentOS(
    id="bench",
    agents=[agent],
    db=db,
    queue=QueueConfig(durable=True) if is_queue else None,
    telemetry=False,
)
app = agent_os.get_app()
