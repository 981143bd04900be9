"""Bytes of one file → raw rows."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from trainer.errors import DataError
from trainer.files import PARSERS, parse_file

ROWS = [
    {"prompt": "Grüß\tGott, ", "chosen": 'a "quoted"\nline', "rejected": "b"},
    {"prompt": "[not json", "chosen": "{}", "rejected": ""},
]


def arrow_bytes(rows: list[dict[str, str]], stream: bool) -> bytes:
    table = pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    open_sink = pa.ipc.new_stream if stream else pa.ipc.new_file
    with open_sink(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def parquet_bytes(rows: list[dict[str, str]]) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


def delimited(rows: list[dict[str, str]], delimiter: str) -> bytes:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    lines = [rows[0], *({key: row[key] for key in row} for row in rows)]
    text = "\r\n".join(
        delimiter.join(quoted(cell) for cell in (line if i == 0 else line.values()))
        for i, line in enumerate(lines)
    )
    return text.encode("utf-8-sig")


JSON_LINES = b"".join(json.dumps(row).encode() + b"\n\n" for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", json.dumps(ROWS, indent=2).encode()),
        ("a.json", b"\xef\xbb\xbf" + json.dumps(ROWS, ensure_ascii=False).encode()),
        ("a.json", JSON_LINES),
        ("a.JSONL", JSON_LINES),
        ("a.jsonl.gz", gzip.compress(JSON_LINES)),
        ("a.csv", delimited(ROWS, ",")),
        ("a.tsv", delimited(ROWS, "\t")),
        ("a.csv.gz", gzip.compress(delimited(ROWS, ","))),
        ("a.parquet", parquet_bytes(ROWS)),
        ("a.arrow", arrow_bytes(ROWS, stream=True)),
        ("a.arrow", arrow_bytes(ROWS, stream=False)),
    ],
)
def test_every_file_type_gives_the_same_rows(name: str, content: bytes) -> None:
    assert parse_file(Path(name), content) == ROWS


def test_messages_in_a_csv_cell_are_read_as_messages() -> None:
    content = b'prompt,label\n"[{""role"": ""user"", ""content"": ""Hi""}]",true\n'

    rows = parse_file(Path("a.csv"), content)

    assert rows == [{"prompt": [{"role": "user", "content": "Hi"}], "label": "true"}]


def test_a_csv_cell_longer_than_the_default_limit_is_read() -> None:
    assert parse_file(Path("a.csv"), b"text\n" + b"x" * 200_000)[0]["text"] == "x" * 200_000


def test_numbers_that_orjson_refuses_are_read() -> None:
    row = parse_file(Path("a.jsonl"), b'{"score": NaN, "id": 123456789012345678901234567890}')[0]

    assert row["score"] != row["score"]
    assert row["id"] == 123456789012345678901234567890


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \n', r"a\.jsonl, line 3, column 7: not JSON"),
        ("a.json", b'\n[{"a": 1},\n {"a" 2}]', r"a\.json, line 3, column 7: not JSON .*list of"),
        ("a.json", b'{\n "a": 1\n}', r"a\.json, line 1, column 2: not JSON"),
        ("a.json", b'[{"a": 1}, "b"]', r"a\.json, row 2: found str, expected an object"),
        ("a.jsonl", b'{"a": 1}\n[1]', r"a\.jsonl, line 2: found list, expected an object"),
        ("a.json", b'[{"a": "\xff"}]', r"a\.json is not UTF-8 text; save it as UTF-8"),
        ("a.csv", b"a,b\n1,\xff", r"a\.csv is not UTF-8 text"),
        ("a.csv", b"a,b\n1,2\n1,2,3", r"a\.csv, line 3: found another number of cells than the 2"),
        ("a.csv", b"a,b\n1\n", r"a\.csv, line 2: found another number of cells"),
        ("a.csv", b'a,b\n1,"2\n', r"a\.csv, line 2: not CSV \(unexpected end of data\)"),
        ("a.parquet", b"PAR1 and no more", r"a\.parquet cannot be read: .*; fetch or write"),
        ("a.arrow", b"", r"a\.arrow cannot be read: .*; fetch or write"),
        ("a.jsonl.gz", b"plain text", r"a\.jsonl\.gz cannot be unpacked: .*; fetch or write"),
        ("a.txt", b"", r"a\.txt has the unknown suffix '\.txt'; expected one of \.json, "),
        ("a.json", b"[" * 200_000, r"a\.json is nested too deeply"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(name: str, content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        parse_file(Path(name), content)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")


@given(suffix=st.sampled_from([*PARSERS, ".json.gz"]), content=st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_data_error(suffix: str, content: bytes) -> None:
    try:
        rows = parse_file(Path("any" + suffix), content)
    except DataError:
        return
    assert all(isinstance(row, dict) for row in rows)
