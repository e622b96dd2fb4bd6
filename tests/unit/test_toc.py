"""The rung `toc`: entries, tables and files that do not fit are told."""

from flagsnap.postgres.elsewhere import roles_in
from flagsnap.snapshot import DumpFile, RecordedDatabase, TableRows
from flagsnap.verifying.toc import toc_problems
from tests.unit.sample_manifests import sample_manifest

ENTRIES = [
    "215; 1259 16386 TABLE public account flags",
    "3400; 0 16386 TABLE DATA public account flags",
    "3401; 0 16390 TABLE DATA public my table flags",
    "3402; 0 16391 SEQUENCE SET public account_id_seq flags",
    "3403; 0 0 BLOBS - BLOBS ",
]
FILES = ("toc.dat", "3400.dat.zst", "3401.dat", "blobs_3403.toc", "blob_16400.dat.gz")


def recorded(files: tuple[str, ...] = FILES, *tables: str) -> RecordedDatabase:
    base = sample_manifest().database
    listed = tuple(DumpFile(path=f"dumps/{base.alias}/{name}", bytes=1, sha256="") for name in files)
    rows = tuple(TableRows(schema_name="public", table=name, rows=1) for name in tables or ("account", "my table"))
    return base.model_copy(update={"tables": rows, "dump": base.dump.model_copy(update={"files": listed})})


def test_what_fits() -> None:
    assert list(toc_problems(ENTRIES, recorded())) == []
    assert list(toc_problems(ENTRIES, recorded((*FILES[:3], "blobs.toc", "blob_1.dat")))) == []


def test_a_table_whose_rows_are_not_there() -> None:
    found = list(toc_problems(ENTRIES, recorded(FILES, "account", "other")))
    assert found == ["the rows of public.other are not in the dump"]


def test_an_entry_without_its_file() -> None:
    found = list(toc_problems(ENTRIES, recorded(FILES[:2], "account")))
    assert found == ["the dump has no file for TABLE DATA public my table flags"]
    found = list(toc_problems(ENTRIES, recorded(FILES[:1], "account")))
    assert found[0] == "the rows of public.account are not in the dump"


def test_files_without_an_entry() -> None:
    (found,) = toc_problems(ENTRIES, recorded((*FILES, "9.dat.gz")))
    assert found == "9.dat.gz is not in the dump's table of contents"
    (found,) = toc_problems(ENTRIES, recorded((*FILES, "notes.txt")))
    assert found == "notes.txt is no file of a dump"


def test_roles_of_a_script() -> None:
    script = '''
ALTER TABLE public.account OWNER TO flags;
ALTER TABLE public.total OWNER TO "The ""Owner""";
GRANT SELECT ON TABLE public.account TO reader WITH GRANT OPTION;
REVOKE ALL ON TABLE public.account FROM flags_old;
GRANT ALL ON SCHEMA public TO PUBLIC;
GRANT SELECT ON TABLE public.account TO pg_read_all_data;
ALTER DEFAULT PRIVILEGES FOR ROLE maker IN SCHEMA public GRANT SELECT ON TABLES TO "Uses, Commas";
CREATE POLICY mine ON public.account FOR SELECT TO one, "Two" USING (true);
CREATE TABLE public.x (a text DEFAULT ' TO nobody');
'''
    roles = {"flags", 'The "Owner"', "reader", "flags_old", "maker", "Uses, Commas", "one", "Two"}
    assert roles_in(script) == roles
