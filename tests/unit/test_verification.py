"""The values of a verification: what counts as checked, what is kept, and what of it is told in brief."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flagsnap.attached.verification import Rung, Verification, read_brief
from flagsnap.errors import SnapshotDamaged
from flagsnap.sealed import seal
from flagsnap.verification import LEVELS, Check, Level, Verified
from tests.unit.sample_manifests import CAPTURED

ID = "2.265.0"
RUNGS: dict[Level, Rung] = {
    "manifest": Rung(checked_at=CAPTURED, ok=True, seconds=0.25),
    "files": Rung(checked_at=CAPTURED, ok=False, seconds=1e-9, share=1 / 3, details=('Ä "x" is missing', "y\n")),
}
VERIFICATION = Verification(deploy_id=ID, captured_at=CAPTURED, rungs=RUNGS, resume="dumps/default/1.dat.gz")
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)


@pytest.mark.parametrize(
    ("check", "ok"),
    [
        (Check("files", ID), True),
        (Check("files", ID, said="all is well"), True),
        (Check("files", ID, ("x is missing",)), False),
        (Check("files", ID, unchecked="the store failed"), False),
        (Check("files", ID, ("x is missing",), "the store failed"), False),
    ],
)
def test_what_could_not_be_checked_is_not_ok(check: Check, ok: bool) -> None:
    assert check.ok == ok


@pytest.mark.parametrize(
    ("details", "code"),
    [
        ((), 1),
        (("ok",), 0),
        (("unchecked",), 1),
        (("ok", "unchecked"), 1),
        (("failed",), 3),
        (("unchecked", "failed"), 3),
    ],
)
def test_the_exit_code_is_that_of_the_worst(details: tuple[str, ...], code: int) -> None:
    kinds = {
        "ok": Check("a", ID),
        "unchecked": Check("b", ID, unchecked="why"),
        "failed": Check("c", ID, ("x",), "why"),
    }
    verified = Verified(tuple(kinds[each] for each in details))
    assert verified.exit_code == code
    assert len(verified.failed) == details.count("failed")
    assert len(verified.unchecked) == details.count("unchecked")


def test_what_is_written_is_read_back() -> None:
    assert Verification.read(VERIFICATION.to_json(), ID) == VERIFICATION
    assert list(Verification.read(VERIFICATION.to_json(), ID).rungs) == ["manifest", "files"]


def test_a_sample_is_not_whole_and_a_round_of_them_is() -> None:
    earlier = CAPTURED - timedelta(days=3)
    sample = Rung(checked_at=CAPTURED, ok=True, share=0.05)
    assert (RUNGS["manifest"].is_whole, RUNGS["manifest"].verified_at) == (True, CAPTURED)
    assert (sample.is_whole, sample.verified_at) == (False, None)
    rounded = sample.model_copy(update={"whole_at": earlier})
    assert (rounded.is_whole, rounded.verified_at) == (True, earlier)
    assert not rounded.model_copy(update={"ok": False}).is_whole


@given(
    st.dictionaries(
        st.sampled_from(LEVELS),
        st.builds(
            Rung,
            checked_at=MOMENTS,
            ok=st.booleans(),
            seconds=st.sampled_from([0.0, 0.25, 12.5, 1234.0]),
            share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
            whole_at=st.none() | MOMENTS,
        ),
    )
)
def test_a_brief_tells_all_but_the_details(rungs: dict[Level, Rung]) -> None:
    verification = VERIFICATION.model_copy(update={"rungs": rungs})
    assert read_brief(verification.brief()) == rungs


def test_what_is_nearly_whole_is_not_whole_in_brief() -> None:
    nearly = Rung(checked_at=CAPTURED, ok=True, share=0.99999)
    brief = VERIFICATION.model_copy(update={"rungs": {"files": nearly}}).brief()
    assert read_brief(brief)["files"].share == 0.9999
    assert not read_brief(brief)["files"].is_whole


def test_a_brief_has_no_details() -> None:
    found = read_brief(VERIFICATION.brief())["files"]
    assert (found.ok, found.share, found.details) == (False, 0.3333, ())


@pytest.mark.parametrize(
    "text", ["", "-", "20261122T140200Z~ok~1", "yesterday~ok~1~2", "20261122T140200Z~ok~x~2", "~~~"]
)
def test_what_is_no_brief_is_left_out(text: str) -> None:
    good = VERIFICATION.brief()["manifest"]
    assert set(read_brief({"files": text, "manifest": good, "a newer level": good})) == {"manifest"}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (VERIFICATION.to_json()[:-1], "it is not whole JSON"),
        (VERIFICATION.to_json().replace(b"0.25", b"0.26"), "it was altered"),
        (seal({"format": 1, "deploy_id": ID}), "1 validation error for Verification"),
        (seal({**VERIFICATION.model_dump(mode="json"), "format": Verification.FORMAT + 1}), "reads formats up to 1"),
        (seal({**VERIFICATION.model_dump(mode="json"), "deploy_id": "x"}), "it is the verification of x"),
    ],
)
def test_what_is_no_verification_of_it_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(SnapshotDamaged, match=rf"the verification of {ID} .*{message}"):
        Verification.read(raw, ID)
