"""What a statement reaches: the database that it is executed in, or more."""

from __future__ import annotations

import re
from typing import Optional

# Comments, which may hold quotes; what is quoted, which may hold comments; the text of a function or a DO block.
_TOKENS = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | (?P<escaped>\b[eE]'(?:[^'\\]|''|\\.)*') | (?P<text>'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*") | (?P<body>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)""",
    re.DOTALL | re.VERBOSE,
)
_OBJECT = r"(?:database|tablespace|role|group|user(?!\s+mapping))\b"
_FUNCTIONS = (
    r"pg_(?:terminate|cancel)_backend|pg_reload_conf|pg_rotate_logfile|pg_switch_wal|pg_promote|pg_file_\w+"
    r"|pg_(?:create|copy|drop)_\w*replication_slot|lo_export"
)
# What reaches out of a database, or at what all databases of a server share. False alarms cost little: the migration
# is named, and the rehearsal says that it cannot tell.
_BEYOND = [
    (re.compile(pattern, re.IGNORECASE | re.DOTALL), words)
    for pattern, words in (
        (r'\bdblink(?:_\w+)?"?\s*\(', "dblink"),
        (r"\b(?:create|alter|drop)\s+subscription\b", "a subscription"),
        (r"\b(?:create|alter)\s+(?:server|user\s+mapping|foreign\s+data\s+wrapper)\b", "a foreign server"),
        (r"\bcopy\b[^;]*\b(?:to|from)\s+program\b", "COPY with a program"),
        (r"\bcopy\b[^;]*\bto\s+''", "COPY into a file of the server"),
        (r"\b(?:create|alter|drop)\s+" + _OBJECT, "a database, role or tablespace"),
        (r"\b(?:comment|security\s+label\b[^;]*)\s+on\s+" + _OBJECT, "a database, role or tablespace"),
        (r"\b(?:grant|revoke)\b[^;]*\bon\s+(?:database|tablespace)\b", "the rights on a database or tablespace"),
        (r"(?:^|;)\s*(?:grant|revoke)\b(?![^;]*\bon\b)", "the members of a role"),
        (r"\balter\s+system\b", "ALTER SYSTEM"),
        (r"\b(?:drop|reassign)\s+owned\b", "what a role owns"),
        (r"\bprepare\s+transaction\b", "PREPARE TRANSACTION"),
        (r"\blanguage\s+(?:plpython\w*u|plperlu|pltclu|plsh)\b", "a language that reaches the server's system"),
        (r"\b(?:" + _FUNCTIONS + r')"?\s*\(', "a function that reaches the server"),
    )
]
_READS = re.compile(
    r"\s*(?:(?:select|show|values|table|fetch|close|declare)\b(?!.*\binto\b)"
    r"|(?:with|explain)\b(?!.*\b(?:insert|update|delete|merge|into|create|refresh)\b)"
    r"|(?:savepoint|release|rollback)\b|(?:begin|commit|end|abort|start\s+transaction)\s*$"
    r"|(?:set|reset)\b(?!.*(?:read_only|transaction|characteristics|authorization|global|persist))"
    r"|pragma\s+(?:table_x?info|table_list|index_list|index_info|index_xinfo|foreign_key_list)\b)",
    re.IGNORECASE | re.DOTALL,
)
# set_config of anything but a named setting that does not make the session write again.
_SETS_ANYTHING = re.compile(r"\bset_config\s*\((?!\s*'(?!\w*read_only)[\w.]+'\s*,)", re.IGNORECASE)


def code(statement: str) -> str:
    """A statement without comments and without what stands in quotes; the bodies of functions stay as they are.

    What a body holds in quotes may be executed by it.
    """
    return _TOKENS.sub(_bare, statement)


def beyond(statement: str) -> Optional[str]:
    """What a statement reaches beyond the database that it is executed in, None if nothing."""
    bare = code(statement)
    return next((words for pattern, words in _BEYOND if pattern.search(bare)), None)


def only_reads(statement: str) -> bool:
    """Whether a statement does nothing but read, steer the transaction, or set what belongs to the session.

    A server that is told to be read only sees to the rest: functions that write, and tables that are locked.
    """
    parts = [part for part in code(statement).split(";") if part.strip()]
    return all(_READS.match(part) for part in parts) and not _SETS_ANYTHING.search(statement)


def _bare(found: re.Match[str]) -> str:
    if found.group("body"):
        return found.group()
    if found.group("text") or found.group("escaped"):
        return "''"
    return found.group("name") or " "
