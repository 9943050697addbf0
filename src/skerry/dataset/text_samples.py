"""Texts to samples: clean, split, learn a vocabulary, tokenise, pack.

What    `build_text(work)` leaves the files, `tokenizer.json` and the text of each split in the
        work folder and returns the manifest.
Why     Every stage passes over a file, so the memory needed does not grow with the data (but for
        32 bytes, and a signature of 512, for each document in the search for repeats).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from skerry.base.digests import digest
from skerry.dataset.config import DatasetConfig
from skerry.dataset.documents import clean_documents, read_documents, write_documents
from skerry.dataset.manifest import (
    TOKENIZER_NAME,
    DatasetError,
    Field,
    Manifest,
    Split,
    Tokenizer,
    token_dtype,
)
from skerry.dataset.sample_files import Packer, SampleWriter
from skerry.dataset.sources import file_digest
from skerry.dataset.splitting import Rule, Side, by_hash, cut_by_share, rule_for
from skerry.dataset.tally import Tally
from skerry.dataset.tokens import TextTokenizer, train_tokenizer
from skerry.dataset.work import Work, manifest_of

_ENCODE_CHARACTERS = 1 << 18
_CLEANED = "cleaned.part"


def build_text(work: Work) -> Manifest:
    """Write texts, tokenizer and files and return their manifest."""
    split_by = _write_split_texts(work)
    kind: Literal["byte", "bpe", "given"] = "given"
    if work.config.tokenizer in ("byte", "bpe"):
        kind = "byte" if work.config.tokenizer == "byte" else "bpe"
    tokenizer = work.tokenizer or _train(work)
    (work.folder / TOKENIZER_NAME).write_bytes(tokenizer.content)
    described = Tokenizer(
        kind=kind,
        vocab_size=tokenizer.vocab_size,
        eos_id=tokenizer.eos_id,
        size_bytes=len(tokenizer.content),
        digest=digest("blob", tokenizer.content).hex(),
    )
    tokens = Field(
        name="tokens",
        dtype=token_dtype(tokenizer.vocab_size),
        shape=(work.config.sequence_length + 1,),
        limit=tokenizer.vocab_size,
    )
    sides: tuple[Side, ...] = ("train",) if split_by == "none" else ("train", "heldout")
    splits = tuple(_encode_split(work, side, tokenizer) for side in sides)
    return manifest_of(work, split_by, (tokens,), splits, tokenizer=described)


def _write_split_texts(work: Work) -> Rule:
    """Clean all documents into one file, then deal them out to the texts of the splits."""
    config, cleaned = work.config, work.folder / _CLEANED
    counts = {"characters": 0, "heldout": 0}

    def counted() -> Iterator[str]:
        def advance(done: int) -> None:
            work.progress("clean", min(done, work.total_bytes), work.total_bytes)

        for _, text in clean_documents(work.sources, work.tally, advance):
            counts["characters"] += len(text)
            counts["heldout"] += by_hash(_text_digest(text), config) == "heldout"
            yield text

    records = write_documents(cleaned, counted())
    if not records:
        raise DatasetError(
            f"no document of {work.sources.name} passed the rules: " + _dropped(work.tally),
            next_step="correct the columns, or loosen the filters in [data]",
        )
    rule = rule_for(config, records, counts["heldout"])
    handles = {
        side: (work.folder / f"{side}.txt").open("w", encoding="utf-8", newline="\n")
        for side in (("train",) if rule == "none" else ("train", "heldout"))
    }
    done = 0
    try:
        for side, text in _sides(cleaned, rule, counts["characters"], config):
            handles[side].write(text + "\n\f\n")
            done += len(text)
            work.progress("split", min(done, counts["characters"]), counts["characters"])
    finally:
        for handle in handles.values():
            handle.close()
    cleaned.unlink()
    return rule


def _sides(
    cleaned: Path, rule: Rule, characters: int, config: DatasetConfig
) -> Iterator[tuple[Side, str]]:
    texts = read_documents(cleaned)
    if rule == "share":
        yield from cut_by_share(texts, characters, config)
    else:
        for text in texts:
            yield ("train" if rule == "none" else by_hash(_text_digest(text), config)), text


def _text_digest(text: str) -> bytes:
    return digest("text", text.encode())


def _dropped(tally: Tally) -> str:
    counts = [f"{rule.count} {rule.rule}" for rule in tally.rules() if rule.action == "dropped"]
    return f"{tally.records_read} records read, dropped {', '.join(counts) or 'none'}"


def _train(work: Work) -> TextTokenizer:
    path = work.folder / "train.txt"
    total, done = path.stat().st_size, 0

    def told() -> Iterator[str]:
        nonlocal done
        for text in read_documents(path):
            yield text
            done += len(text)
            work.progress("vocabulary", min(done, total), total)

    tokenizer = train_tokenizer(told(), work.config.vocab_size)
    work.progress("vocabulary", total, total)
    return tokenizer


def _encode_split(work: Work, side: Side, tokenizer: TextTokenizer) -> Split:
    config = work.config
    path = work.folder / f"{side}.txt"
    total = path.stat().st_size
    records = characters = text_bytes = 0
    with SampleWriter(work.folder, side, config.samples_per_file) as writer:
        packer = Packer(writer, config.sequence_length, tokenizer.eos_id, tokenizer.vocab_size)
        for texts in _text_batches(path):
            for ids in tokenizer.encode_batch(texts):
                packer.add(np.array(ids, np.int64))
            records += len(texts)
            characters += sum(len(text) + 1 for text in texts)
            text_bytes += sum(len(text.encode()) + 1 for text in texts)
            work.progress(f"tokenise {side}", min(text_bytes, total), total)
        left_out = packer.flush()
        if not writer.samples:
            raise DatasetError(
                f"the {side} split has {packer.tokens} tokens, too few for one sample of "
                f"{config.sequence_length + 1}",
                next_step="lower sequence_length, or change validation_split_percentage",
            )
        return writer.finish(
            records,
            tokens=packer.tokens,
            tokens_left_out=left_out,
            characters=characters,
            text_bytes=text_bytes,
            text_file_bytes=total,
            text_file_digest=file_digest(path).hex(),
        )


def _text_batches(path: Path) -> Iterator[list[str]]:
    """Yield documents in groups that keep a tokenizer busy without filling the memory."""
    texts: list[str] = []
    characters = 0
    for text in read_documents(path):
        texts.append(text)
        characters += len(text)
        if characters >= _ENCODE_CHARACTERS:
            yield texts
            texts, characters = [], 0
    if texts:
        yield texts
