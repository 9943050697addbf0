"""Text to token ids and back.

What    `TextTokenizer` wraps one `tokenizer.json`: the 256 bytes, a byte-pair vocabulary trained
        here, or one that is given as a file or Hugging Face folder.
Why     One path for all three; the file stands beside the data and its digest is in the manifest.
        Text that spells out a special token is encoded as the characters it is, so no document
        can forge the end of a document.
Source  The `tokenizers` library; its trainer gives equal bytes for equal texts in any number of
        threads (measured, and held by a golden test).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from skerry.dataset.manifest import TOKENIZER_BYTES_MAX, TOKENIZER_NAME, DatasetError

if TYPE_CHECKING:
    import tokenizers

END_OF_TEXT = "<|endoftext|>"
_KNOWN_ENDS = (END_OF_TEXT, "</s>", "<|end_of_text|>", "<|im_end|>", "<eos>", "[SEP]")


class TextTokenizer:
    """A vocabulary and the id that ends a document."""

    def __init__(self, content: bytes, eos_id: int) -> None:
        self.content = content
        self.eos_id = eos_id
        self._tokenizer = _parsed(content)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._tokenizer.encode_special_tokens = True
        self.vocab_size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values())
        if not 0 <= eos_id < self.vocab_size:
            raise DatasetError(f"the end-of-document token {eos_id} is not in the vocabulary")

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, without any added at its ends."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text."""
        found = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [each.ids for each in found]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of `ids`; the ends of documents vanish, broken UTF-8 becomes U+FFFD."""
        return self._tokenizer.decode([int(each) for each in ids], skip_special_tokens=True)


def byte_tokenizer() -> TextTokenizer:
    """Return the tokenizer whose ids are the bytes of UTF-8, and 256 at the end of a document."""
    vocabulary = {sign: byte for byte, sign in enumerate(_byte_signs())}
    return _byte_level(vocabulary, [])


def train_tokenizer(texts: Iterator[str], vocab_size: int) -> TextTokenizer:
    """Return a byte-level byte-pair vocabulary of `vocab_size` ids trained on `texts`.

    Id 0 ends a document, ids 1 to 256 are the bytes, the others are merges in the order learned.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(_byte_signs()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return TextTokenizer(tokenizer.to_str().encode(), 0)


def given_tokenizer(path: Path, eos_token: str = "") -> TextTokenizer:
    """Return the tokenizer in a `tokenizer.json` or in a Hugging Face folder.

    Raises:
        DatasetError: when it cannot be read, or nothing says which token ends a document.
    """
    file = path / TOKENIZER_NAME if path.is_dir() else path
    content = read_tokenizer_file(file)
    tokenizer = _parsed(content)
    names = [eos_token] if eos_token else [*_configured_end(file.parent), *_KNOWN_ENDS]
    for name in names:
        found = tokenizer.token_to_id(name)
        if found is not None:
            return TextTokenizer(content, found)
    raise DatasetError(
        f"{file} does not say which token ends a document; tried {', '.join(names)}",
        next_step="set eos_token in [data] to a token of that vocabulary",
    )


def read_tokenizer_file(file: Path) -> bytes:
    """Return the content of a tokenizer file of a bearable size."""
    if not file.is_file():
        raise DatasetError(
            f"there is no tokenizer at {file}",
            next_step='set tokenizer to "byte", "bpe", or the path of a tokenizer.json',
        )
    if file.stat().st_size > TOKENIZER_BYTES_MAX:
        raise DatasetError(f"{file} has more than {TOKENIZER_BYTES_MAX} bytes")
    return file.read_bytes()


def _configured_end(folder: Path) -> list[str]:
    """Return the end-of-document token that a Hugging Face folder declares."""
    file = folder / "tokenizer_config.json"
    if not file.is_file() or file.stat().st_size > TOKENIZER_BYTES_MAX:
        return []
    try:
        settings = msgspec.json.decode(file.read_bytes())
    except (msgspec.DecodeError, RecursionError, ValueError):
        return []
    declared = settings.get("eos_token") if isinstance(settings, dict) else None
    if isinstance(declared, dict):
        declared = declared.get("content")
    return [declared] if isinstance(declared, str) and declared else []


def _byte_level(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> TextTokenizer:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TEXT])
    return TextTokenizer(tokenizer.to_str().encode(), len(vocabulary))


def _byte_signs() -> list[str]:
    """Return the printable sign by which byte-level vocabularies write each byte (GPT-2's)."""
    signs, spare = [], 256
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255:
            signs.append(chr(byte))
        else:
            signs.append(chr(spare))
            spare += 1
    return signs


def _parsed(content: bytes) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(content.decode())
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a Rust panic is no Exception
        raise DatasetError(
            f"the tokenizer cannot be used: {str(error)[:300]}",
            next_step="give a tokenizer.json written by the tokenizers library",
        ) from error
