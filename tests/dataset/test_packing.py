"""Tokens: there and back, and how documents become samples."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.base.digests import merkle_root
from skerry.dataset import DatasetError
from skerry.dataset.manifest import sample_leaf
from skerry.dataset.sample_files import Packer, SampleWriter
from skerry.dataset.tokens import (
    END_OF_TEXT,
    TextTokenizer,
    byte_tokenizer,
    given_tokenizer,
    train_tokenizer,
)
from tests.dataset.corpora import texts

BYTES = byte_tokenizer()
TRAINED = train_tokenizer(iter(texts(80)), 400)

TRAIN_AGAIN = """
from hashlib import sha256
from skerry.dataset.tokens import train_tokenizer
import json, sys
texts = json.load(sys.stdin)
print(sha256(train_tokenizer(iter(texts), 400).content).hexdigest())
"""


@given(st.lists(st.lists(st.integers(0, 299), max_size=40)), st.integers(1, 9), st.integers(0, 3))
def test_packing_keeps_every_token_in_its_place(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[int]], length: int, log: int
) -> None:
    folder = tmp_path_factory.mktemp("files")
    with SampleWriter(folder, "train", 1 << log) as writer:
        packer = Packer(writer, length, 299, 300)
        for number, ids in enumerate(documents):
            packer.add(np.array(ids, np.int64))
            if number % 3 == 0:
                packer.flush()
        left = packer.flush()
        stream = [299, *(token for ids in documents for token in [*ids, 299])]
        assert packer.tokens == len(stream) - 1 == writer.samples * length + left
        if not writer.samples:
            return
        split = writer.finish(len(documents))
    stored = b"".join((folder / split.file_name(at)).read_bytes() for at in range(len(split.files)))
    samples = np.frombuffer(stored, "<u2").reshape(-1, length + 1)
    expected = [stream[at * length : at * length + length + 1] for at in range(split.samples)]
    assert samples.tolist() == expected
    leaves = [sample_leaf(row.tobytes()) for row in samples]
    assert split.samples_root == merkle_root(leaves).hex()


@pytest.mark.parametrize("tokenizer", [BYTES, TRAINED], ids=["byte", "bpe"])
@given(st.text(st.characters(codec="utf-8")))
def test_text_survives_its_tokens(tokenizer: TextTokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(st.text(st.characters(codec="utf-8")))
def test_byte_tokens_are_the_bytes(text: str) -> None:
    assert bytes(BYTES.encode(text)) == text.encode()


@pytest.mark.parametrize("tokenizer", [BYTES, TRAINED], ids=["byte", "bpe"])
def test_text_cannot_forge_the_end_of_a_document(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode(f"a{END_OF_TEXT}b")
    assert tokenizer.eos_id not in ids
    assert tokenizer.decode(ids) == f"a{END_OF_TEXT}b"


def test_vocabularies_have_the_size_asked_for() -> None:
    assert (BYTES.vocab_size, BYTES.eos_id) == (257, 256)
    assert (TRAINED.vocab_size, TRAINED.eos_id) == (400, 0)
    compact = len(TRAINED.encode(texts(1)[0])) / len(BYTES.encode(texts(1)[0]))
    assert compact < 0.6


@pytest.mark.parametrize("threads", ["1", "3"])
def test_another_process_trains_the_same_vocabulary(threads: str) -> None:
    environment = {
        "TOKENIZERS_PARALLELISM": "false" if threads == "1" else "true",
        "RAYON_NUM_THREADS": threads,
        "PYTHONHASHSEED": threads,
    }
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_AGAIN],
        input=json.dumps(texts(80)),
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(TRAINED.content).hexdigest()


def test_a_given_tokenizer_is_read_from_a_file_or_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(TRAINED.content)
    assert given_tokenizer(file).eos_id == 0
    settings = {"eos_token": {"content": "ka"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    there = given_tokenizer(tmp_path)
    assert there.content == TRAINED.content
    assert there.eos_id == TRAINED.encode("ka")[0]
    assert given_tokenizer(tmp_path, END_OF_TEXT).eos_id == 0
    with pytest.raises(DatasetError, match="which token ends") as caught:
        given_tokenizer(tmp_path, "nowhere")
    assert "eos_token" in caught.value.next_step


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"\xff", b'{"version": "1.0", "model": 3}'], ids=str
)
def test_a_broken_tokenizer_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content)
    with pytest.raises(DatasetError, match="tokenizer"):
        given_tokenizer(file)


def test_a_missing_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no tokenizer at"):
        given_tokenizer(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="not in the vocabulary"):
        TextTokenizer(TRAINED.content, 400)
