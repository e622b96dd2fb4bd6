"""Counting on the live database what a rollback would lose."""

from psycopg import sql

from flagsnap.loss.types import unfit_condition
from flagsnap.loss.values import Loss, Question
from flagsnap.loss.writes import Written
from flagsnap.postgres.connection import Connection
from flagsnap.postgres.facts import count_rows, read_row_tables, read_write_counters
from flagsnap.snapshot import TableRows


def answer(connection: Connection, question: Question) -> Loss:
    """Count the rows of a possible loss exactly."""
    if question.recorded is not None:
        return question.answered(question.recorded)
    row = connection.execute(_statement(question)).fetchone()
    return question.answered(int(row[0]) if row else 0)


def _statement(question: Question) -> sql.Composed:
    table = sql.Identifier(question.schema, question.table)
    if question.column is None:
        return sql.SQL("SELECT count(*) FROM {}").format(table)
    return sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table, _condition(question, question.column))


def _condition(question: Question, column: str) -> sql.Composable:
    quoted = sql.Identifier(column)
    if question.fits is not None:
        return sql.SQL(unfit_condition(quoted.as_string(), question.type, question.fits))
    if question.default is None or question.type is None:
        return sql.SQL("{} IS NOT NULL").format(quoted)
    # As text, because types such as json know no equality; the default as a value of the column's type, so that 'f' is
    # false and 1.5 is 1.500. It is SQL, from the catalog or from the project's own schema editor, and so is the type.
    default = sql.SQL("({})::{}").format(sql.SQL(question.default), sql.SQL(question.type))
    return sql.SQL("{}::text IS DISTINCT FROM {}::text").format(quoted, default)


def written(connection: Connection, recorded: tuple[TableRows, ...]) -> tuple[Written, ...]:
    """Compare rows and write counters with the recorded ones; `django_migrations` is left out, deploys write it."""
    before = {(table.schema_name, table.table): table for table in recorded}
    counters = read_write_counters(connection)
    result: list[Written] = []
    for schema, table in sorted(read_row_tables(connection)):
        if table == "django_migrations":
            continue
        then = before.get((schema, table))
        result.append(
            Written(
                f"{schema}.{table}",
                (then.rows, then.inserted + then.updated + then.deleted) if then else None,
                (count_rows(connection, schema, table), sum(counters.get((schema, table), (0, 0, 0)))),
            )
        )
    return tuple(result)
