"""What pg_restore prints of rows, taken apart without looking into them."""

from collections.abc import Iterator

import pytest

from flagsnap.errors import SnapshotDamaged
from flagsnap.postgres.refill.copying import Script, names_in, recorded_values

ROWS = b"1\tone\n2\t\\\\.\n\\N\t\\.x\n .\\.\n"
SCRIPT = (
    b"\\restrict abc\n\nSET client_encoding = 'LATIN1';\nSELECT pg_catalog.set_config('search_path', '', false);\n\n"
    b'COPY public.plain (id, "The ""name"", quoted") FROM stdin;\n' + ROWS + b"\\.\n\n\n"
    b'COPY "a.b"."two\n\nlines (x)" ("caf\xe9") FROM stdin;\n\\.\n\n\n'
    b"COPY public.none (id) FROM stdin;\n9\n\\.\n\n\\unrestrict abc\n"
)


def chunks(script: bytes, size: int) -> Iterator[bytes]:
    return (script[at : at + size] for at in range(0, len(script), size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 64, 10_000])
def test_rows_come_through_untouched_however_they_are_cut(size: int) -> None:
    script = Script(chunks(SCRIPT, size))
    found = [(table, columns, b"".join(script.rows())) for table, columns in script.tables()]
    assert found == [
        (("public", "plain"), ("id", 'The "name", quoted'), ROWS),
        (("a.b", "two\n\nlines (x)"), ("café",), b""),
        (("public", "none"), ("id",), b"9\n"),
    ]
    assert script.encoding == "LATIN1"


@pytest.mark.parametrize("end", [SCRIPT.index(b"2\t"), SCRIPT.index(b"\\.\n\n\n"), SCRIPT.index(b"lines")])
def test_a_script_that_breaks_off_is_found(end: int) -> None:
    script = Script(chunks(SCRIPT[:end], 16))
    with pytest.raises(SnapshotDamaged, match="in the middle of a table's rows"):
        [b"".join(script.rows()) for _ in script.tables()]


def test_names() -> None:
    assert names_in('public."My ""table"".x"') == ("public", 'My "table".x')
    assert names_in('id, "a, b", größe') == ("id", "a, b", "größe")
    assert names_in("") == ()


def test_values_of_sequences() -> None:
    script = """
SET row_security = off;
SELECT pg_catalog.setval('public.t_id_seq', 42, true);
SELECT pg_catalog.setval('"My schema"."it''s"', -7, true);
SELECT pg_catalog.setval('public.never_called', 1, false);
"""
    assert recorded_values(script) == {("public", "t_id_seq"): 42, ("My schema", "it's"): -7}
