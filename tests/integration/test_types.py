"""What casts do to values, as the rules say it and as PostgreSQL does it."""

import psycopg
import pytest

from flagsnap.loss.types import Cast, carries, cast
from tests.fix_databases import Database
from tests.fix_servers import ALL_MAJORS

TEXT, CHAR, V5, V9 = "text", "character(5)", "character varying(5)", "character varying(9)"
STAMP, STAMPTZ = "timestamp without time zone", "timestamp with time zone"
DOUBLE = "double precision"
UUID = "0d1c2b3a-0000-4000-8000-0123456789ab"

# From a type to another: values that come back, values that come out changed, values that make the cast fail.
CASTS: list[tuple[str, str, list[str], list[str], list[str]]] = [
    ("integer", "smallint", ["32767", "-32768"], [], ["32768", "-32769"]),
    ("bigint", "integer", ["2147483647", "-2147483648"], [], ["2147483648", "-2147483649"]),
    ("smallint", "bigint", ["1"], [], []),
    ("numeric", "integer", ["7", "7.00", "2147483647"], ["7.5", "2147483647.4"], ["2147483647.5", "NaN", "Infinity"]),
    ("numeric(9,2)", "smallint", ["7.00"], ["-0.01"], ["32767.50", "40000.00"]),
    (DOUBLE, "integer", ["7", "-2147483648"], ["7.5", "-2147483648.5"], ["2147483647.5", "NaN", "-Infinity", "1e300"]),
    (DOUBLE, "bigint", ["9007199254740993", "-9223372036854775808"], ["0.5"], ["9223372036854775807"]),
    ("real", "smallint", ["32767"], ["32767.25"], ["32767.5"]),
    ("numeric(12,4)", "numeric(9,2)", ["1.5", "NaN"], ["1.555", "9999999.994"], ["9999999.995", "10000000"]),
    ("numeric(9,2)", "numeric(12,2)", ["1234567.89"], [], []),
    ("numeric(9,2)", "numeric(12,4)", ["1234567.89", "NaN"], [], []),
    ("numeric(9,2)", "numeric(9,4)", ["12345.67"], [], ["100000"]),
    ("numeric", "numeric(4,1)", ["1.50", "NaN"], ["1.55"], ["1000", "-999.95", "Infinity"]),
    ("integer", "numeric(5,2)", ["999"], [], ["1000"]),
    ("integer", "numeric(12,2)", ["2147483647"], [], []),
    ("integer", "numeric(3,-2)", ["99900"], ["123", "99949"], ["99950"]),
    (DOUBLE, "numeric(5,2)", ["1.25", "NaN"], ["1.255", "0.001"], ["1000", "Infinity"]),
    (DOUBLE, "numeric", ["1.5", "Infinity"], ["0.12345678901234567"], []),
    ("numeric", DOUBLE, ["1.5", "NaN", "Infinity"], ["0.12345678901234567", "9007199254740993"], []),
    ("bigint", DOUBLE, ["9007199254740992"], ["9007199254740993"], []),
    ("integer", DOUBLE, ["2147483647"], [], []),
    ("integer", "real", ["16777216"], ["16777217"], []),
    (DOUBLE, "real", ["0.5", "NaN", "-Infinity", "0"], ["0.1", "3.4028235677973362e38"],
     ["3.4028235677973366e38", "-1e300", "1e-60", "7.006492321624085e-46"]),
    ("numeric", "real", ["0.5", "NaN", "Infinity"], ["0.123456789"], ["1e39", "1e-60"]),
    ("real", DOUBLE, ["0.1"], [], []),
    ("boolean", "integer", ["t", "f"], [], []),
    ("integer", "boolean", ["0", "1"], ["2", "-1"], []),
    (TEXT, V5, ["abcde", "éééêê"], ["abcdef", "abcde "], []),
    (TEXT, CHAR, ["abcde", "ab"], ["abcdef", "ab "], []),
    (V9, V5, ["abcde"], ["abcde  "], ["abcdef", "abcde x"]),
    ("character varying", V5, ["abcde"], ["abcde "], ["abcdef"]),
    (V9, TEXT, ["abc "], [], []),
    ("integer", "character varying(4)", ["1234", "-123"], ["12345", "-1234"], []),
    ("integer", "character varying(11)", ["-2147483648"], [], []),
    ("uuid", TEXT, [UUID], [], []),
    ("uuid", "character varying(36)", [UUID], [], []),
    ("jsonb", V9, ['{"a": 1}'], ["1234567890"], []),
    (TEXT, "integer", ["7", "-7"], ["007", " 7"], ["", "x", "7.5", "2147483648"]),
    (TEXT, "boolean", ["true", "false"], ["t", "off"], ["2", "maybe"]),
    (TEXT, "uuid", [UUID], [UUID.upper(), UUID.replace("-", "")], ["no uuid"]),
    (TEXT, "date", ["2024-02-29"], ["Feb 29 2024"], ["2023-02-29", "x"]),
    (TEXT, "numeric(5,2)", ["1.50"], ["1.5", "1.505"], ["x", "1000"]),
    (TEXT, "jsonb", ['{"a": 1}'], ['{"a":1}'], ["{"]),
    (TEXT, "json", ['{"a": 1}', '{"a":1}'], [], ["{"]),
    (V9, "integer", ["7"], ["007"], ["x"]),
    ("json", "jsonb", ['{"a": 1}'], ['{"a":1}', '{"b": 1, "a": 1}'], [r'{"a": "\u0000"}']),
    ("jsonb", "json", ['{"a": 1}'], [], []),
    (STAMPTZ, "date", ["2024-05-06T00:00Z", "infinity"], ["2024-05-06T00:00:00.000001Z"], []),
    (STAMP, "date", ["2024-05-06"], ["2024-05-06 01:00"], []),
    (STAMPTZ, STAMP, ["2024-05-06T01:02:03Z"], [], []),
    ("date", STAMPTZ, ["2024-05-06", "infinity", "294276-12-31"], [], ["294277-01-01"]),
    ("timestamp(6) with time zone", "timestamp(3) with time zone", ["2024-05-06 01:02:03.123+00"],
     ["2024-05-06 01:02:03.1234+00"], []),
    ("bigint[]", "integer[]", ["{}", "{1,NULL,2}", "{{1},{2}}"], [], ["{1,2147483648}"]),
    ("numeric[]", "integer[]", ["{1}"], ["{1,1.5}"], ["{1e10}"]),
    (f"{V9}[]", f"{V5}[]", ["{abc}"], ['{"abcde "}'], ["{abc,abcdef}"]),
    ("integer[]", "bigint[]", ["{1}"], [], []),
]  # fmt: skip


SAME, CHANGED, FAILS = "comes back", "comes out changed", "fails"


@pytest.mark.parametrize("server", ALL_MAJORS, indirect=True)
def test_rules_say_what_postgresql_does(database: Database) -> None:
    connection = database.connect()
    connection.execute("SET TimeZone = 'UTC'")
    for from_type, to_type, same, changed, failing in CASTS:
        rule = cast("c", from_type, to_type)
        for expected, values in ((SAME, [None, *same]), (CHANGED, changed), (FAILS, failing)):
            for value in values:
                connection.execute(f"CREATE TEMP TABLE t (c {from_type}, before {from_type})".encode())
                connection.execute(
                    f"INSERT INTO t SELECT v, v FROM (SELECT {literal(value)}::{from_type}) AS of (v)".encode()
                )
                outcomes = said(connection, rule), done(connection, from_type, to_type)
                assert outcomes == (expected, expected), (from_type, to_type, value)
                connection.execute("DROP TABLE t")


@pytest.mark.parametrize(("from_type", "to_type", "same", "changed", "failing"), CASTS)
def test_what_is_carried_has_no_rule(
    from_type: str, to_type: str, same: list[str], changed: list[str], failing: list[str]
) -> None:
    rule = cast("c", from_type, to_type)
    assert carries(from_type, to_type) is (not changed and not failing)
    assert same
    assert bool(rule.fails) is bool(failing)


def literal(value: str | None) -> str:
    return "NULL" if value is None else f"'{value}'"


def said(connection: psycopg.Connection, rule: Cast) -> str:
    """What a rule says of the value in the table. PostgreSQL 15 cannot be asked whether a text is of a type."""
    for condition, outcome in ((rule.fails, FAILS), (rule.cut, CHANGED)):
        try:
            with connection.transaction():
                rows = connection.execute(f"SELECT FROM t WHERE {condition or 'false'}".encode()).fetchall()
        except psycopg.errors.UndefinedFunction:
            assert connection.info.server_version < 160000
            continue
        except (psycopg.DataError, psycopg.NotSupportedError):
            return FAILS
        if rows:
            return outcome
    return SAME


def done(connection: psycopg.Connection, from_type: str, to_type: str) -> str:
    """What PostgreSQL does with the value in the table, there and back."""
    try:
        connection.execute(f"ALTER TABLE t ALTER c TYPE {to_type}{using(from_type, to_type)}".encode())
        connection.execute(f"ALTER TABLE t ALTER c TYPE {from_type} USING c::{from_type}".encode())
    except (psycopg.DataError, psycopg.NotSupportedError):
        return FAILS
    text = "::text" if from_type == "json" else ""
    rows = connection.execute(f"SELECT FROM t WHERE c{text} IS DISTINCT FROM before{text}".encode()).fetchall()
    return CHANGED if rows else SAME


def using(from_type: str, to_type: str) -> str:
    """As DatabaseSchemaEditor._using_sql: none between types that differ in their length only."""
    alike = all(each.startswith("character varying") for each in (from_type, to_type))
    return "" if alike else f" USING c::{to_type}"
