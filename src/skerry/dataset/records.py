"""Reading files record by record; what cannot be read is counted and left out.

What    `read_rows(file, columns, ...)` yields (where, values of the columns) from JSONL, CSV, TSV
        and Parquet; `read_pieces(file, ...)` yields the documents of a plain text file.
Why     A file from outside holds anything. A bad record has a named reason and costs only itself;
        no record can take more memory than `LINE_BYTES_MAX`.
Reasons not_utf8, not_json, not_an_object, not_csv, missing_column, line_too_long
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Literal

import msgspec

from skerry.dataset.manifest import DatasetError
from skerry.dataset.sources import Advance, SourceFile
from skerry.dataset.tally import Tally

Row = tuple[str, tuple[object, ...]]

LINE_BYTES_MAX = 64 << 20
_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 1024


def read_rows(
    file: SourceFile, columns: Sequence[str], tally: Tally, advance: Advance
) -> Iterator[Row]:
    """Yield every record of `file` that has all of `columns`."""
    if file.format == "jsonl":
        rows = _read_jsonl(file, columns, tally, advance)
    elif file.format in ("csv", "tsv"):
        rows = _read_csv(file, columns, tally, advance)
    elif file.format == "parquet":
        rows = _read_parquet(file, columns, tally, advance)
    else:
        raise DatasetError(
            f"{file.name} has no columns",
            next_step="leave out feature_columns and label_column, or name another file",
        )
    for where, values in rows:
        if any(value is None for value in values):
            tally.drop("missing_column", where, values)
        elif not all(_is_utf8(value) for value in values):
            tally.drop("not_utf8", where, next(v for v in values if not _is_utf8(v)))
        else:
            yield where, values


def read_pieces(
    file: SourceFile,
    sample_by: Literal["document", "paragraph", "line"],
    tally: Tally,
    advance: Advance,
) -> Iterator[tuple[str, str]]:
    """Yield (where, text) of each document, paragraph or line of a plain text file."""
    whole: list[str] = []
    where, bad = file.name, False
    with file.path.open("rb") as handle:
        for number, line in _lines(handle, file.name, tally, advance):
            text = _decoded(line)
            here = f"{file.name}:{number}"
            if sample_by == "line":
                tally.records_read += 1
                if text is None:
                    tally.drop("not_utf8", here, line)
                elif text.strip():
                    yield here, text
                continue
            if sample_by == "paragraph" and text is not None and not text.strip():
                if whole:
                    tally.records_read += 1
                    yield where, "".join(whole)
                whole, where, bad = [], f"{file.name}:{number + 1}", False
            elif text is None and not bad:
                # One bad byte spoils its document or paragraph: what stands around it is lost too.
                tally.records_read += 1
                tally.drop("not_utf8", here, line)
                whole, bad = [], True
            elif text is not None and not bad:
                whole.append(text)
    if whole:
        tally.records_read += 1
        yield where, "".join(whole)


def _read_jsonl(
    file: SourceFile, columns: Sequence[str], tally: Tally, advance: Advance
) -> Iterator[Row]:
    decoder = msgspec.json.Decoder()
    with file.path.open("rb") as handle:
        for number, line in _lines(handle, file.name, tally, advance):
            if not line.strip():
                continue
            tally.records_read += 1
            where = f"{file.name}:{number}"
            if _decoded(line) is None:
                tally.drop("not_utf8", where, line)
                continue
            try:
                record = decoder.decode(line)
            except (msgspec.DecodeError, RecursionError, ValueError):
                tally.drop("not_json", where, line)
                continue
            if not isinstance(record, dict):
                tally.drop("not_an_object", where, line)
                continue
            yield where, tuple(record.get(column) for column in columns)


def _read_csv(
    file: SourceFile, columns: Sequence[str], tally: Tally, advance: Advance
) -> Iterator[Row]:
    with file.path.open("rb") as handle:
        # Bytes that are no UTF-8 become lone surrogates, which `read_rows` finds and names.
        lines = (
            line.decode("utf-8", "surrogateescape")
            for _, line in _lines(handle, file.name, tally, advance)
        )
        reader = csv.reader(lines, delimiter="\t" if file.format == "tsv" else ",")
        limit = csv.field_size_limit(LINE_BYTES_MAX)
        try:
            header = next(reader, [])
            places = [_place(header, column, file) for column in columns]
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    tally.records_read += 1
                    tally.drop("not_csv", f"{file.name}:{reader.line_num}", str(error))
                    continue
                if not cells:
                    continue
                tally.records_read += 1
                where = f"{file.name}:{reader.line_num}"
                if len(cells) != len(header):
                    tally.drop("not_csv", where, ",".join(cells))
                    continue
                yield where, tuple(cells[place] or None for place in places)
        finally:
            csv.field_size_limit(limit)


def _place(header: list[str], column: str, file: SourceFile) -> int:
    if column not in header:
        raise DatasetError(
            f"{file.name} has no column {column!r}; it has {', '.join(header)[:500]}",
            next_step="name a column of the file in text_column, feature_columns or label_column",
        )
    return header.index(column)


def _read_parquet(
    file: SourceFile, columns: Sequence[str], tally: Tally, advance: Advance
) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file.path) as table:
            for column in columns:
                _place(table.schema_arrow.names, column, file)
            done, total = 0, max(table.metadata.num_rows, 1)
            names = list(dict.fromkeys(columns))
            for batch in table.iter_batches(batch_size=_PARQUET_ROWS, columns=names):
                lists = [_column_values(batch.column(column)) for column in columns]
                for values in zip(*lists, strict=True):
                    done += 1
                    tally.records_read += 1
                    yield f"{file.name} row {done}", values
                advance(file.size_bytes * done // total)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DatasetError(
            f"{file.path} cannot be read as Parquet: {str(error)[:300]}",
            next_step="replace the file, or leave it out of dataset_name",
        ) from error


def _column_values(column: object) -> list[object]:
    """Return a column as Python values; text as bytes first, since Arrow does not check UTF-8."""
    import pyarrow

    array: pyarrow.Array = column
    if pyarrow.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pyarrow.types.is_string(array.type) or pyarrow.types.is_large_string(array.type):
        array = array.cast(pyarrow.large_binary())
    values: list[object] = array.to_pylist()
    return [
        value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        for value in values
    ]


def _lines(
    handle: BinaryIO, name: str, tally: Tally, advance: Advance
) -> Iterator[tuple[int, bytes]]:
    """Yield (number, line) of at most LINE_BYTES_MAX; a longer line is dropped whole."""
    done = number = 0
    while line := handle.readline(LINE_BYTES_MAX):
        number += 1
        done += len(line)
        if number == 1 and line.startswith(_BOM):
            line = line[len(_BOM) :]
        if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
            tally.records_read += 1
            tally.drop("line_too_long", f"{name}:{number}", line[:400])
            while (rest := handle.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
                done += len(rest)
            continue
        if number % 256 == 0:
            advance(done)
        yield number, line
    advance(done)


def _decoded(line: bytes) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _is_utf8(value: object) -> bool:
    if not isinstance(value, str) or value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def column_names(file: SourceFile) -> tuple[str, ...]:
    """Return the columns that a CSV, TSV or Parquet file declares."""
    if file.format == "parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            with pyarrow.parquet.ParquetFile(file.path) as table:
                return tuple(table.schema_arrow.names)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise DatasetError(f"{file.path} cannot be read as Parquet: {error}") from error
    if file.format in ("csv", "tsv"):
        with file.path.open("rb") as handle:
            lines = (
                line.decode("utf-8", "replace")
                for _, line in _lines(handle, file.name, Tally(), _still)
            )
            return tuple(
                next(csv.reader(lines, delimiter="\t" if file.format == "tsv" else ","), ())
            )
    raise DatasetError(
        f"{file.name} does not declare its columns",
        next_step="name the columns to learn from in feature_columns",
    )


def _still(done: int) -> None:
    """Ignore progress."""
