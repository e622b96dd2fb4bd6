"""Sealed documents: no bit of one can change unnoticed, and what any version of flagsnap has written can be read."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flagsnap.attached.pin import Pin
from flagsnap.attached.verification import Rung, Verification
from flagsnap.errors import SnapshotDamaged
from flagsnap.rehearsal.values import Rehearsal
from flagsnap.sealed import seal, unseal
from flagsnap.snapshot import read_manifest
from tests.unit.sample_manifests import CAPTURED, sample_manifest
from tests.unit.sample_rehearsals import sample_rehearsal

ID = "2.265.0"
ODD = '"quoted"\\ \x00\x1f\t\n Ä … \U0001f600 [] {} 1e5'
MANIFEST = sample_manifest(note=ODD)
RUNG = Rung(checked_at=CAPTURED, ok=False, seconds=1e-7, share=1 / 3, details=(ODD,))
DOCUMENTS: dict[str, tuple[bytes, Callable[[bytes, str], object]]] = {
    "manifest": (MANIFEST.to_json(), read_manifest),
    "rehearsal": (sample_rehearsal(MANIFEST, reason=ODD).to_json(), Rehearsal.read),
    "verification": (
        Verification(deploy_id=ID, captured_at=CAPTURED, rungs={"files": RUNG}).to_json(),
        Verification.read,
    ),
    "pin": (Pin(deploy_id=ID, pinned_at=CAPTURED, reason=ODD).to_json(), Pin.read),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)
CONTENTS = st.dictionaries(st.text().filter(lambda key: key not in {"digest", "format"}), VALUES, max_size=4)


def flipped(raw: bytes, bit: int) -> bytes:
    altered = bytearray(raw)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


@pytest.mark.parametrize("name", DOCUMENTS)
@given(position=st.floats(0, 1, exclude_max=True))
@settings(max_examples=500, deadline=None)
def test_a_bit_that_flips_anywhere_is_found(name: str, position: float) -> None:
    raw, read = DOCUMENTS[name]
    read(raw, ID)
    with pytest.raises(SnapshotDamaged, match=rf"of {ID} "):
        read(flipped(raw, int(position * len(raw) * 8)), ID)


def test_every_bit_of_a_pin() -> None:
    raw, read = DOCUMENTS["pin"]
    for bit in range(len(raw) * 8):
        with pytest.raises(SnapshotDamaged):
            read(flipped(raw, bit), ID)


@given(CONTENTS, st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_what_was_sealed_is_read_and_no_bit_of_it_may_flip(content: dict[str, Any], position: float) -> None:
    raw = seal(content)
    assert unseal(raw, "it", 1) == content
    with pytest.raises(SnapshotDamaged):
        unseal(flipped(raw, int(position * len(raw) * 8)), "it", 1)


@pytest.mark.parametrize(
    ("written", "altered"),
    [
        (b"\\u001f", b"\\u001F"),
        (b"1e-07", b"1E-07"),
        (b"1e-07", b"1e-7"),
        (b" 0.5", b" 5e-1"),
        (b"\xc3\x84", b"\\u00c4"),
        (b'\n "n"', b'\n  "n"'),
        (b'\n "n"', b' "n"'),
        (b": ", b":"),
        (b"{", b"{ "),
        (b'"n": 0.5', b'"n": 1, "n": 0.5'),
        (b"\n}", b"\n}\n"),
        (b"{\n", b"\xef\xbb\xbf{\n"),
        (b"\\u001f", b"\\ud800"),
    ],
)
def test_other_bytes_of_the_same_values_are_refused(written: bytes, altered: bytes) -> None:
    raw = seal({"format": 1, "text": "Ä\x1f", "small": 1e-7, "n": 0.5})
    assert raw.count(written) >= 1
    with pytest.raises(SnapshotDamaged, match="it is damaged"):
        unseal(raw.replace(written, altered, 1), "it", 1)


def test_keys_of_newer_versions_stay_where_they_are() -> None:
    content = {"z": 1, "format": 1, "a": {"of": ["the", "future", 1e300, -0.0, 10**40]}}
    assert list(unseal(seal(content), "it", 1)) == ["z", "format", "a"]


def test_the_form_is_the_one_of_the_first_version() -> None:
    """Byte for byte: what is in people's stores must stay readable, and be readable for what they have deployed."""
    content = {"format": 1, "deploy_id": "Ä", "none": None, "empty": [[], {}], "rows": [[1, 2.5], {"a": True}]}
    canonical = (
        '{"deploy_id":"Ä","empty":[[],{}],"format":1,"none":null,"rows":[[1,2.5],{"a":true}]}'  # keys in their order
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    assert seal(content).decode() == (
        f'{{\n "digest": "sha256:{digest}",\n "format": 1,\n "deploy_id": "Ä",\n "none": null,\n "empty": [\n  [],'
        "\n  {}"
        '\n ],\n "rows": [\n  [\n   1,\n   2.5\n  ],\n  {\n   "a": true\n  }\n ]\n}'
    )


def test_what_another_program_has_written_is_refused() -> None:
    raw = json.dumps(json.loads(seal({"format": 1}))).encode()
    with pytest.raises(SnapshotDamaged, match="it is damaged: its bytes are not those that flagsnap writes"):
        unseal(raw, "it", 1)


def test_too_deep_for_a_parser_is_damaged_too() -> None:
    with pytest.raises(SnapshotDamaged, match="it is not whole JSON"):
        unseal(b"[" * 100_000, "it", 1)
