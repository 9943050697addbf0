"""A manifest from anybody: read if sound, refused with a reason if not, and never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from skerry.base.chance import Chance
from skerry.base.digests import digest, merkle_root
from skerry.dataset import Dataset, DatasetError
from skerry.dataset.manifest import (
    MANIFEST_BYTES_MAX,
    MANIFEST_NAME,
    check,
    decode,
    encode,
    file_depth,
    samples_root,
)

CONTENT: list[bytes] = []


@pytest.fixture(autouse=True)
def _content(prepared_folder: Path) -> None:
    CONTENT[:] = [(prepared_folder / MANIFEST_NAME).read_bytes()]


def refused(content: bytes) -> str:
    """Return the reason why `content` is refused, or "" if it is a sound manifest."""
    try:
        assert encode(decode(content)) == content
    except DatasetError as error:
        return error.message
    return ""


def test_a_manifest_survives_its_bytes() -> None:
    manifest = decode(CONTENT[0])
    assert encode(manifest) == CONTENT[0]
    assert manifest.digest == digest("dataset", CONTENT[0])


@given(st.integers(0, 1 << 30), st.integers(0, 255), st.integers(0, 3))
@settings(max_examples=300)
def test_a_mutated_manifest_is_refused_or_another_sound_one(
    place: int, value: int, action: int
) -> None:
    content = bytearray(CONTENT[0])
    place %= len(content)
    if action == 0:
        content[place] = value
    elif action == 1:
        del content[place : place + 1 + value % 7]
    elif action == 2:
        content[place:place] = bytes([value])
    else:
        content = content[:place]
    refused(bytes(content))


def mutated(value: Any, chance: Chance) -> Any:
    """Return `value` with one part, drawn by `chance`, replaced by something odd."""
    odd: tuple[Any, ...] = (
        -1,
        0,
        1,
        2**31,
        2**53,
        2**64,
        10**40,
        1.5,
        None,
        "",
        "0" * 64,
        "\x00",
        [],
        {},
        True,
    )
    if isinstance(value, dict) and value and chance.below(4):
        key = sorted(value)[chance.fork("key").below(len(value))]
        if chance.fork("drop").below(8) == 0:
            return {name: each for name, each in value.items() if name != key}
        return value | {key: mutated(value[key], chance.fork("in"))}
    if isinstance(value, list) and value and chance.below(4):
        place = chance.fork("place").below(len(value))
        repeat = [value[place]] * chance.fork("repeat").below(3)
        return [*value[:place], mutated(value[place], chance.fork("in")), *repeat, *value[place:]]
    return odd[chance.fork("odd").below(len(odd))]


def test_a_manifest_of_odd_parts_is_refused_or_sound_ten_thousand_times() -> None:
    value = json.loads(CONTENT[0])
    chance = Chance.from_int(11)
    reasons = set()
    for case in range(10_000):
        content = msgspec.json.encode(mutated(value, chance.fork(case)))
        reasons.add(refused(content)[:60])
    assert len(reasons) > 20


@given(st.binary(max_size=200))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"")
@example(b'"\xff"')
def test_bytes_that_are_no_manifest_are_refused(content: bytes) -> None:
    assert refused(content)


def test_a_manifest_that_is_too_large_is_refused_before_it_is_read() -> None:
    assert "more than" in refused(b" " * (MANIFEST_BYTES_MAX + 1))


def changed(**parts: object) -> Callable[[dict[str, Any]], None]:
    def change(value: dict[str, Any]) -> None:
        for path, new in parts.items():
            target: Any = value
            *steps, last = path.split("__")
            for step in steps:
                target = target[int(step) if step.isdecimal() else step]
            target[last] = new

    return change


LIES = {
    "is not a power of two": changed(samples_per_file=48),
    "files where": changed(samples_per_file=128),
    "do not lead to its samples_root": changed(splits__0__samples_root="0" * 64),
    "do not add up": changed(splits__0__tokens=17),
    "does not fit the vocabulary": changed(tokenizer__vocab_size=1 << 20),
    "outside the vocabulary": changed(tokenizer__eos_id=300),
    "more than 16777216": changed(fields__0__shape=[1 << 40]),
    "splits are not": changed(splits__0__name="heldout"),
    "text has no tokenizer": changed(tokenizer=None),
    "only a table can have": changed(class_names=["a"]),
    "a table has a tokenizer": changed(kind="table"),
    "Object contains unknown field": changed(extra=1),
    "does not count its text": changed(splits__1__text_file_digest=None),
    "not `tokens`": changed(fields__0__name="other"),
}


@pytest.mark.parametrize("reason", LIES)
def test_a_lie_is_named(reason: str) -> None:
    value = json.loads(CONTENT[0])
    LIES[reason](value)
    assert reason in refused(msgspec.json.encode(value))


def test_another_spelling_of_the_same_manifest_is_refused() -> None:
    spaced = json.dumps(json.loads(CONTENT[0])).encode()
    assert "canonical" in refused(spaced)


@given(st.integers(1, 70), st.integers(0, 4))
def test_the_roots_of_files_lead_to_the_root_over_all_samples(samples: int, log: int) -> None:
    leaves = [digest("sample", bytes([place])) for place in range(samples)]
    per_file = 1 << log
    width = 1 << file_depth(samples, per_file)
    parts = [leaves[start : start + per_file] for start in range(0, samples, per_file)]
    roots = [merkle_root([*part, *([bytes(32)] * (width - len(part)))]) for part in parts]
    assert samples_root(roots, samples, per_file) == merkle_root(leaves)


def test_a_split_that_is_not_there_is_named(dataset: Dataset) -> None:
    with pytest.raises(DatasetError, match="no split 'test'"):
        dataset.manifest.split("test")


def test_nats_per_token_become_bits_per_character(dataset: Dataset) -> None:
    split = dataset.manifest.split("train")
    text = list(dataset.train.documents())
    assert split.characters == sum(len(each) + 1 for each in text)
    nats = 0.7 * split.characters / split.tokens * 0.6931471805599453
    assert split.bits_per_character(nats) == pytest.approx(0.7)
    check(dataset.manifest)
