"""Storage: what must outlive a process, each piece under the digest of its bytes.

In      Bytes, and small frozen records.
Does    Writes whole or not at all, names by content, checks on reading, keeps and prunes.
Out     The same bytes, or a `NodeError` that says what to free, permit or restore.
Never   Knows what a blob means; never reads what is half-written; never deletes what is in use.
Start   reading at `files`, then `blobs`, then `folder`. How blobs come from other nodes is
        decided in `fetching`; what has come so far is kept by `partial`.
"""

from skerry.storage.blobs import BlobMissing, BlobStore, blob_digest
from skerry.storage.files import StorageError, make_folder, read_file, write_file
from skerry.storage.folder import Checkpoint, RunBusy, RunFolder
from skerry.storage.kept import FileDamaged, read_kept, read_noted
from skerry.storage.log import append_line, append_lines, read_lines
from skerry.storage.rewind import copy_rounds, cut_rounds

__all__ = [
    "BlobMissing",
    "BlobStore",
    "Checkpoint",
    "FileDamaged",
    "RunBusy",
    "RunFolder",
    "StorageError",
    "append_line",
    "append_lines",
    "blob_digest",
    "copy_rounds",
    "cut_rounds",
    "make_folder",
    "read_file",
    "read_kept",
    "read_lines",
    "read_noted",
    "write_file",
]
