"""The one small file that names a data set, and the rules that make it trustworthy.

What    `Manifest` says what the samples are, where they came from, what was done to them, and the
        digest of every file. `manifest.digest` names all of it. `decode` reads one from anybody.
Why     A job on strangers' machines must name its data in 32 bytes, and a judge must open one
        sample under that name. So there is one byte string per manifest and one root per split.
Rule    A sample is one record of fixed size: its fields in order, each little-endian and in C
        order. Leaf = digest("sample", record). `samples_root` of a split is
        base.digests.merkle_root over all its leaves. The number of samples in a file is a power
        of two, so each file is a subtree and can be proved by reading that file alone.
        A file is named digest("blob", content), as in `storage`. A number that is no integer is
        written as `float.hex` text. The bytes of a manifest are JSON without spaces, its keys in
        the order in which they are declared here; any other spelling is refused.
Pure    No IO. File names follow from the split and the file number; none is taken from outside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from skerry.base.digests import EMPTY, digest, merkle_check, merkle_root, node_digest, tree_depth
from skerry.base.errors import JobError

MANIFEST_NAME = "manifest.json"
TOKENIZER_NAME = "tokenizer.json"
PREPARE_AGAIN = "run `skerry prepare JOB.toml` again to rebuild the data"

MANIFEST_BYTES_MAX = 32 << 20
RECORD_BYTES_MAX = 16 << 20
TOKENIZER_BYTES_MAX = 64 << 20
FILES_MAX = 1 << 16
LIST_MAX = 1 << 16
COUNT_MAX = (1 << 53) - 1

DTYPE_BYTES = {"u16": 2, "u32": 4, "f32": 4, "i64": 8}

Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
HexFloat = Annotated[str, Meta(pattern=r"\A-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}\Z")]
Word = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,63}\Z")]
Label = Annotated[str, Meta(max_length=1024)]
Count = Annotated[int, Meta(ge=0, le=COUNT_MAX)]
Size = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
Int64 = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]


class DatasetError(JobError):
    """The data, or the section of the job that describes it, cannot be used as given."""

    code = "dataset"


class Field(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named array of every sample; `limit` bounds integers to range(limit), 0 does not."""

    name: Word
    dtype: Literal["u16", "u32", "f32", "i64"]
    shape: Annotated[tuple[Size, ...], Meta(max_length=4)]
    limit: Count = 0

    @property
    def size_bytes(self) -> int:
        """The bytes that this field takes in a record."""
        return DTYPE_BYTES[self.dtype] * math.prod(self.shape)


class Tokenizer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How text became numbers; the file beside the manifest is `tokenizer.json`."""

    kind: Literal["byte", "bpe", "given"]
    vocab_size: Annotated[int, Meta(ge=1, le=1 << 32)]
    eos_id: Count
    size_bytes: Annotated[int, Meta(ge=1, le=TOKENIZER_BYTES_MAX)]
    digest: Hex


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file that was read."""

    name: Label
    size_bytes: Count
    digest: Hex


class RuleCount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often one named rule repaired or dropped something."""

    rule: Word
    action: Literal["repaired", "dropped"]
    count: Size


class Scaling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Standardised features: f32((x - mean) / scale), one pair for all or one per element."""

    mean: Annotated[tuple[HexFloat, ...], Meta(min_length=1, max_length=LIST_MAX)]
    scale: Annotated[tuple[HexFloat, ...], Meta(min_length=1, max_length=LIST_MAX)]


class SampleFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of samples; its name, length and number of samples follow from its place."""

    digest: Hex
    samples_root: Hex


class Split(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The samples to train on, or those held out.

    A text split of documents d1, d2, ... is the stream EOS d1 EOS d2 EOS ...; sample i is
    stream[i*T : i*T + T + 1], so every token but the first EOS is a target exactly once, up to the
    last `tokens_left_out` that do not fill a sample. `tokens` counts all targets, `characters` the
    characters of the text plus one for the end of each document: the same events, so
    nats per token * tokens / characters is nats per character.
    """

    name: Literal["train", "heldout"]
    samples: Size
    records: Count
    samples_root: Hex
    files: Annotated[tuple[SampleFile, ...], Meta(min_length=1, max_length=FILES_MAX)]
    tokens: Count = 0
    tokens_left_out: Count = 0
    characters: Count = 0
    text_bytes: Count = 0
    text_file_bytes: Count = 0
    text_file_digest: Hex | None = None

    @property
    def text_name(self) -> str:
        """The file that keeps the cleaned text of this split."""
        return f"{self.name}.txt"

    def file_name(self, index: int) -> str:
        """Return the file name of file `index`."""
        return f"{self.name}-{index:05d}.bin"

    def bits_per_character(self, nats_per_token: float) -> float:
        """Return the bits per character that a mean loss in nats per target token amounts to."""
        if not self.characters:
            raise DatasetError(f"the {self.name} split holds no text, so it has no characters")
        return nats_per_token * self.tokens / (self.characters * math.log(2))


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a party needs to know about a prepared data set."""

    format: Literal["skerry-dataset-1"] = "skerry-dataset-1"
    kind: Literal["text", "table"]
    name: Label
    licence: Label
    seed: Int64
    config_digest: Hex
    split_by: Literal["hash", "share", "none"]
    fields: Annotated[tuple[Field, ...], Meta(min_length=1, max_length=64)]
    samples_per_file: Annotated[int, Meta(ge=1, le=1 << 30)]
    splits: Annotated[tuple[Split, ...], Meta(min_length=1, max_length=2)]
    sources: Annotated[tuple[Source, ...], Meta(max_length=LIST_MAX)]
    records_read: Count
    rules: Annotated[tuple[RuleCount, ...], Meta(max_length=64)] = ()
    tokenizer: Tokenizer | None = None
    scaling: Scaling | None = None
    class_names: Annotated[tuple[Label, ...], Meta(max_length=LIST_MAX)] = ()

    @property
    def record_bytes(self) -> int:
        """The size of one sample in a file."""
        return sum(field.size_bytes for field in self.fields)

    @property
    def digest(self) -> bytes:
        """The 32 bytes that name this data set."""
        return digest("dataset", encode(self))

    @property
    def sequence_length(self) -> int:
        """The number of targets in a sample of text, 0 for a table."""
        return self.fields[0].shape[0] - 1 if self.kind == "text" else 0

    def split(self, name: str) -> Split:
        """Return the split called `name`."""
        for split in self.splits:
            if split.name == name:
                return split
        raise DatasetError(
            f"the data set {self.name!r} has no split {name!r}",
            next_step="set validation_split_percentage above 0 and prepare the data again",
        )

    def file_samples(self, split: Split, index: int) -> int:
        """Return how many samples file `index` of `split` holds."""
        return min(self.samples_per_file, split.samples - index * self.samples_per_file)


def encode(manifest: Manifest) -> bytes:
    """Return the one byte string of `manifest`."""
    return msgspec.json.encode(manifest, order="deterministic")


def decode(content: bytes | memoryview) -> Manifest:
    """Return the manifest in `content`, which may come from anybody.

    Raises:
        DatasetError: with the reason, for anything but the canonical bytes of a sound manifest.
    """
    if len(content) > MANIFEST_BYTES_MAX:
        raise _refused(f"it has {len(content)} bytes, more than {MANIFEST_BYTES_MAX}")
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
        canonical = encode(manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refused(str(error)) from error
    if canonical != bytes(content):
        raise _refused("it is not in canonical form")
    check(manifest)
    return manifest


def check(manifest: Manifest) -> None:
    """Raise DatasetError unless all parts of `manifest` agree with each other."""
    names = [field.name for field in manifest.fields]
    if len(set(names)) != len(names):
        raise _refused("two fields have one name")
    if manifest.record_bytes > RECORD_BYTES_MAX:
        raise _refused(f"a sample has {manifest.record_bytes} bytes, more than {RECORD_BYTES_MAX}")
    if manifest.samples_per_file & (manifest.samples_per_file - 1):
        raise _refused("samples_per_file is not a power of two")
    if [split.name for split in manifest.splits] not in (["train"], ["train", "heldout"]):
        raise _refused("the splits are not train, or train and heldout")
    if len({rule.rule for rule in manifest.rules}) != len(manifest.rules):
        raise _refused("two rules have one name")
    _check_kind(manifest)
    _check_scaling(manifest)
    for split in manifest.splits:
        _check_split(manifest, split)


def _check_kind(manifest: Manifest) -> None:
    tokenizer = manifest.tokenizer
    if manifest.kind == "table":
        if tokenizer is not None:
            raise _refused("a table has a tokenizer")
        if not any(field.name == "features" for field in manifest.fields):
            raise _refused("a table has no field `features`")
        return
    if tokenizer is None:
        raise _refused("text has no tokenizer")
    if len(manifest.fields) != 1 or manifest.scaling is not None or manifest.class_names:
        raise _refused("text has fields that only a table can have")
    field = manifest.fields[0]
    if field.name != "tokens" or len(field.shape) != 1 or field.shape[0] < 2:
        raise _refused("the field of a text is not `tokens` with at least two places")
    if field.dtype != token_dtype(tokenizer.vocab_size) or field.limit != tokenizer.vocab_size:
        raise _refused("the field `tokens` does not fit the vocabulary")
    if tokenizer.eos_id >= tokenizer.vocab_size:
        raise _refused("the end-of-document token is outside the vocabulary")


def _check_scaling(manifest: Manifest) -> None:
    if manifest.scaling is None:
        return
    elements = math.prod(next(f.shape for f in manifest.fields if f.name == "features"))
    mean, scale = manifest.scaling.mean, manifest.scaling.scale
    if len(mean) != len(scale) or len(mean) not in (1, elements):
        raise _refused("the scaling does not fit the features")
    for text in (*mean, *scale):
        try:
            float.fromhex(text)
        except (ValueError, OverflowError) as error:
            raise _refused(f"the scaling holds {text}, which is no finite number") from error
    if any(float.fromhex(text) <= 0 for text in scale):
        raise _refused("a scale is not above zero")


def _check_split(manifest: Manifest, split: Split) -> None:
    due = -(-split.samples // manifest.samples_per_file)
    if len(split.files) != due:
        raise _refused(f"{split.name} has {len(split.files)} files where {due} are due")
    roots = [bytes.fromhex(file.samples_root) for file in split.files]
    if samples_root(roots, split.samples, manifest.samples_per_file).hex() != split.samples_root:
        raise _refused(f"the files of {split.name} do not lead to its samples_root")
    texty = (split.tokens, split.characters, split.text_bytes, split.text_file_bytes)
    if manifest.kind == "text":
        if not all(texty) or split.text_file_digest is None:
            raise _refused(f"{split.name} does not count its text")
        covered = split.samples * manifest.sequence_length + split.tokens_left_out
        if covered != split.tokens or split.tokens_left_out >= manifest.sequence_length:
            raise _refused(f"the tokens of {split.name} do not add up")
    elif any(texty) or split.tokens_left_out or split.text_file_digest is not None:
        raise _refused(f"{split.name} counts text in a table")


def token_dtype(vocab_size: int) -> Literal["u16", "u32"]:
    """Return the narrowest stored type that holds every token id."""
    return "u16" if vocab_size <= 1 << 16 else "u32"


def sample_leaf(record: bytes | memoryview) -> bytes:
    """Return the Merkle leaf of one sample."""
    return digest("sample", record)


def file_depth(samples: int, samples_per_file: int) -> int:
    """Return the depth of a file's subtree in a split of `samples`."""
    return min(tree_depth(samples), tree_depth(samples_per_file))


def top_leaves(roots: Sequence[bytes], samples: int, samples_per_file: int) -> list[bytes]:
    """Return the leaves of the tree above the files: their roots, then empty subtrees."""
    depth = file_depth(samples, samples_per_file)
    nothing = EMPTY
    for _ in range(depth):
        nothing = node_digest(nothing, nothing)
    width = 1 << (tree_depth(samples) - depth)
    return [*roots, *([nothing] * (width - len(roots)))]


def samples_root(roots: Sequence[bytes], samples: int, samples_per_file: int) -> bytes:
    """Return the root over all samples of a split, from the roots of its files."""
    return merkle_root(top_leaves(roots, samples, samples_per_file))


def check_sample(split: Split, index: int, record: bytes, path: Sequence[bytes]) -> bool:
    """Return whether `record` is sample `index` of `split`; needs no file."""
    root = bytes.fromhex(split.samples_root)
    return merkle_check(root, sample_leaf(record), index, split.samples, path)


def _refused(reason: str) -> DatasetError:
    return DatasetError(f"the manifest is refused: {reason[:500]}", next_step=PREPARE_AGAIN)
