"""The tables of the worker's SQLite file. An older file is refused, so a change of them raises the version."""

from protocol.request import MEMBERS

SCHEMA_VERSION = 5
REQUEST_FIELDS = tuple(field for _, _, field in MEMBERS)
TASK_FIELDS = (
    "priced_at",
    "tip_units",
    "submitted_block",
    "submitted_at",
    "state",
    "holder",
    "until",
    "output_tokens",
    "root",
    "body",
    "claimed_block",
    "claimed_at",
    "posted_block",
    "posted_at",
    "posted_place",
    "ended_at",
    "paid_units",
    "refunded_units",
    "earned_units",
    "burned_units",
    "round_at",
    "seats",
    "demands",
    "mine",
    "held_before",
)
_TASK_COLUMNS = ", ".join(("id BLOB", *(f"request_{field}" for field in REQUEST_FIELDS), *TASK_FIELDS))
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('schema_version', '{SCHEMA_VERSION}');
CREATE TABLE IF NOT EXISTS trail (number INTEGER PRIMARY KEY, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS task (
    {_TASK_COLUMNS}, PRIMARY KEY (id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS undo (
    block INTEGER NOT NULL, task_id BLOB NOT NULL, {", ".join(TASK_FIELDS)}, PRIMARY KEY (block, task_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS task_state ON task (state);
CREATE INDEX IF NOT EXISTS task_ended ON task (ended_at) WHERE ended_at > 0;
CREATE INDEX IF NOT EXISTS task_mine ON task (mine) WHERE mine;
CREATE INDEX IF NOT EXISTS task_root ON task (root) WHERE mine;
CREATE TABLE IF NOT EXISTS declined (task_id BLOB PRIMARY KEY, code TEXT NOT NULL, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (task_id BLOB PRIMARY KEY, failures INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trouble (
    at REAL NOT NULL, model_id BLOB NOT NULL, strategy TEXT NOT NULL, outcome TEXT NOT NULL, problem TEXT NOT NULL,
    tokens INTEGER NOT NULL, document TEXT NOT NULL, forgiven INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS decision (
    task_id BLOB NOT NULL, at REAL NOT NULL, code TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS decision_task ON decision (task_id);
CREATE TABLE IF NOT EXISTS result (
    task_id BLOB PRIMARY KEY, body BLOB NOT NULL, output_tokens INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    prompts INTEGER NOT NULL, strategy TEXT NOT NULL, why TEXT NOT NULL, started_ms INTEGER NOT NULL,
    finished_ms INTEGER NOT NULL, output BLOB, receipt BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sending (
    key TEXT PRIMARY KEY, call TEXT NOT NULL, tasks BLOB NOT NULL, open INTEGER NOT NULL, gas_wei INTEGER NOT NULL,
    request INTEGER, leaf INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS sending_open ON sending (open) WHERE open;
CREATE TABLE IF NOT EXISTS intent (
    sequence INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, live INTEGER NOT NULL, document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS intent_live ON intent (sequence) WHERE live;
CREATE TABLE IF NOT EXISTS request (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, argument TEXT NOT NULL, answer TEXT
);
"""  # noqa: S608 only our own names go in
