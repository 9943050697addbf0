"""What `prepare` did, for a person and for a program."""

from __future__ import annotations

from msgspec import Struct

from skerry.base.units import format_bytes
from skerry.dataset.config import BadRecord
from skerry.dataset.manifest import Manifest


class Report(Struct, frozen=True, kw_only=True):
    """The result of preparing data; `msgspec.to_builtins` makes it JSON."""

    folder: str
    digest: str
    reused: bool
    manifest: Manifest
    examples: tuple[BadRecord, ...] = ()

    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """Return (noun, figure, remark) for a small table."""
        manifest = self.manifest
        remark = "nothing to do: the same data were prepared before" if self.reused else ""
        rows = [("data", f"{manifest.name} {self.digest[:16]}", remark or manifest.licence)]
        size = sum(source.size_bytes for source in manifest.sources)
        read = f"{manifest.records_read:,} records"
        rows.append(("read", read, f"{len(manifest.sources)} file(s), {format_bytes(size)}"))
        for rule in manifest.rules:
            example = next((e for e in self.examples if e.rule == rule.rule), None)
            remark = f"{example.where}: {example.excerpt}" if example else ""
            rows.append((rule.action, f"{rule.count:,} {rule.rule}", remark))
        if manifest.tokenizer is not None:
            vocabulary = f"{manifest.tokenizer.vocab_size:,} tokens"
            rows.append(("vocabulary", vocabulary, manifest.tokenizer.kind))
        for split in manifest.splits:
            remark = f"{split.records:,} records"
            if split.tokens:
                per_token = split.characters / split.tokens
                remark += f", {split.tokens:,} tokens, {per_token:.2f} characters each"
            rows.append((split.name, f"{split.samples:,} samples", remark))
        return tuple(rows)
