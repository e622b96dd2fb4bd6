"""What types carry of each other. What the rules say of values is held against PostgreSQL in integration/test_types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.loss.types import Cast, carries, cast

INTEGERS = ["smallint", "integer", "bigint"]
NUMBERS = [*INTEGERS, "numeric", "numeric(9,2)", "numeric(12,4)", "numeric(3,0)", "real", "double precision"]
TEXTS = ["character varying(5)", "character varying(9)", "character varying", "text"]


# Without boolean: PostgreSQL casts it to integer, and to no other number.
@given(*3 * [st.sampled_from([*NUMBERS, *TEXTS, "uuid", "jsonb", "json"])])
def test_carrying_is_an_order(one: str, two: str, three: str) -> None:
    assert carries(one, one)
    assert carries(one, three) or not (carries(one, two) and carries(two, three))


@pytest.mark.parametrize("types", [("uuid", "integer"), ("jsonb", "boolean"), ("interval", "bytea[]"), ("x.y", "z")])
def test_where_no_rule_is_known_every_value_counts(types: tuple[str, str]) -> None:
    assert cast('"c"', *types) == Cast('"c" IS NOT NULL')


def test_arrays_are_as_their_elements() -> None:
    assert cast("c", "bigint[]", "integer[]") == Cast(
        fails="EXISTS (SELECT FROM unnest(c) AS each (value) WHERE each.value NOT BETWEEN -2147483648 AND 2147483647)"
    )
