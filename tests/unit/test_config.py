"""Settings: which source wins, and what is refused."""

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flagsnap.config import Settings, load_settings
from flagsnap.errors import UsageError

NOTHING: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_defaults() -> None:
    assert load_settings(NOTHING, NOTHING, None) == Settings(
        database_url="", store="", manage="", jobs=0, pg_bin=None, silence=120.0, lock_timeout=10.0
    )


@pytest.mark.parametrize(("option", "variable", "file"), list(itertools.product([True, False], repeat=3)))
def test_option_then_environment_then_file_then_default(option: bool, variable: bool, file: bool) -> None:
    if file:
        Path("flagsnap.toml").write_text('store = "from file"\n')
    found = load_settings(
        {"store": "from option" if option else None},
        {"FLAGSNAP_STORE": "from environment"} if variable else {},
        None,
    )
    expected = (option and "from option") or (variable and "from environment") or (file and "from file") or ""
    assert found.store == expected


def test_each_setting_comes_from_each_source() -> None:
    content = {"store": "s", "manage": "m", "jobs": 3, "silence": 4.5, "lock_timeout": 0, "database_url": "u"}
    Path("other.toml").write_text("".join(f"{name} = {value!r}\n" for name, value in content.items()))
    environment = {f"FLAGSNAP_{name.upper()}": str(value) for name, value in content.items()}
    expected = Settings(**content)  # type: ignore[arg-type]
    assert load_settings(NOTHING, NOTHING, Path("other.toml")) == expected
    assert load_settings(NOTHING, environment, None) == expected
    assert load_settings(content, NOTHING, None) == expected


def test_database_url_of_the_application_counts_behind_our_own() -> None:
    both = {"DATABASE_URL": "theirs", "FLAGSNAP_DATABASE_URL": "ours"}
    assert load_settings(NOTHING, both, None).database_url == "ours"
    assert load_settings(NOTHING, {"DATABASE_URL": "theirs"}, None).database_url == "theirs"
    Path("flagsnap.toml").write_text('database_url = "file"')
    assert load_settings(NOTHING, {"DATABASE_URL": "theirs"}, None).database_url == "theirs"


def test_an_empty_variable_is_none() -> None:
    Path("flagsnap.toml").write_text('store = "file"')
    assert load_settings(NOTHING, {"FLAGSNAP_STORE": ""}, None).store == "file"
    assert load_settings(NOTHING, {"FLAGSNAP_DATABASE_URL": "", "DATABASE_URL": "x"}, None).database_url == "x"


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ('stroe = "x"', "the file f.toml has an unknown setting stroe", "did you mean store?"),
        ('lock-timeout = "x"', "the file f.toml has an unknown setting lock-timeout", "did you mean lock_timeout?"),
        ("[flagsnap]\n", "the file f.toml has an unknown setting flagsnap", ""),
        ("store = ", "the file f.toml is not TOML", ""),
        ('jobs = "many"', "jobs cannot be 'many'", ""),
        ("jobs = -1", "jobs cannot be -1", ""),
        ("silence = 0", "silence cannot be 0", ""),
        ("lock_timeout = [1]", "lock-timeout cannot be [1]", ""),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(content: str, message: str, hint: str) -> None:
    Path("f.toml").write_text(content)
    with pytest.raises(UsageError) as refused:
        load_settings(NOTHING, NOTHING, Path("f.toml"))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert hint in refused.value.hint


def test_a_file_that_was_named_must_be_there() -> None:
    with pytest.raises(UsageError, match=r"the file gone.toml cannot be read: no such file or directory"):
        load_settings(NOTHING, NOTHING, Path("gone.toml"))
    Path("bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not TOML"):
        load_settings(NOTHING, NOTHING, Path("bytes.toml"))


def test_the_password_is_not_in_the_repr() -> None:
    assert "sesame" not in repr(Settings(database_url="postgresql://u:sesame@h/d"))


def test_what_is_needed_and_missing_is_named_with_its_variable() -> None:
    with pytest.raises(UsageError, match="no database URL was given") as refused:
        Settings().need_database()
    assert "FLAGSNAP_DATABASE_URL" in refused.value.hint
    with pytest.raises(UsageError, match="no store was given") as refused:
        Settings().need_store()
    assert "FLAGSNAP_STORE" in refused.value.hint
    assert Settings(store="x").need_store() == "x"


def test_workers() -> None:
    assert Settings(jobs=5).workers == 5
    assert 2 <= Settings().workers <= 8


def test_store_options_are_merged_one_by_one() -> None:
    Path("flagsnap.toml").write_text('[store_options]\nregion = "file"\nsse = "file"\nprofile = "file"\n')
    environment = {"FLAGSNAP_S3_SSE": "environment", "FLAGSNAP_S3_REGION": "environment", "FLAGSNAP_S3_PROFILE": ""}
    found = load_settings({"store_options": ["region=option", "endpoint-url=http://a=b"]}, environment, None)
    assert found.store_options == {
        "region": "option",
        "sse": "environment",
        "profile": "file",
        "endpoint_url": "http://a=b",
    }
    assert load_settings({"store_options": []}, {}, None).store_options["sse"] == "file"


@pytest.mark.parametrize("text", ["region", "=x", ""])
def test_a_store_option_without_name_or_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a store option") as refused:
        load_settings({"store_options": [text]}, {}, None)
    assert refused.value.hint == "write it as NAME=VALUE"


def test_acceptable_residue_is_a_table_of_the_file() -> None:
    Path("flagsnap.toml").write_text('[acceptable_residue]\n"public.auth_permission" = 40\n"public.any" = true\n')
    found = load_settings(NOTHING, {"FLAGSNAP_ACCEPTABLE_RESIDUE": "public.other=1"}, None)
    assert found.acceptable_residue == {"public.auth_permission": 40, "public.any": True}


@pytest.mark.parametrize("content", ['"a.b" = -1', '"a.b" = "x"', '"without_schema" = 1'])
def test_residue_that_makes_no_sense(content: str) -> None:
    Path("flagsnap.toml").write_text(f"[acceptable_residue]\n{content}\n")
    with pytest.raises(UsageError, match="acceptable-residue"):
        load_settings(NOTHING, NOTHING, None)


def test_residue_must_be_a_table() -> None:
    Path("flagsnap.toml").write_text("acceptable_residue = 3\n")
    with pytest.raises(UsageError, match="acceptable-residue"):
        load_settings(NOTHING, NOTHING, None)


def test_what_a_prune_keeps_comes_from_each_source() -> None:
    Path("flagsnap.toml").write_text('keep_last = 1\nkeep_within = "30d"\nkeep_retired = "1w"\n')
    found = load_settings(
        {"keep_weekly": 4, "keep_within": "26h"}, {"FLAGSNAP_KEEP_DAILY": "7", "FLAGSNAP_KEEP_LAST": "3"}, None
    )
    kept = (found.keep_last, found.keep_within, found.keep_daily, found.keep_weekly, found.keep_monthly)
    assert kept == (3, timedelta(hours=26), 7, 4, 0)
    assert found.keep_retired == timedelta(days=7)
    assert Settings().keep_retired == timedelta(days=14)


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ("keep_last = -1", "keep-last cannot be -1", "give it a number from 0 to 1000000"),
        ('keep_daily = "some"', "keep-daily cannot be 'some'", "give it a number from 0 to 1000000"),
        ("keep_monthly = 1000001", "keep-monthly cannot be 1000001", "give it a number from 0 to 1000000"),
        (f"keep_daily = '{10**22}'", f"keep-daily cannot be '{10**22}'", "give it a number from 0 to 1000000"),
        ("keep_within = 30", "keep-within cannot be 30", "write it as 90m, 26h, 30d, 2w or 1d12h"),
        ('keep_retired = "ever"', "keep-retired cannot be 'ever'", "write it as 90m, 26h, 30d, 2w or 1d12h"),
    ],
)
def test_what_cannot_be_kept(content: str, message: str, hint: str) -> None:
    Path("flagsnap.toml").write_text(content)
    with pytest.raises(UsageError) as refused:
        load_settings(NOTHING, NOTHING, None)
    assert (str(refused.value), refused.value.hint) == (message, hint)
