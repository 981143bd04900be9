"""What is kept of a file that was read: handed out once, and only while the file goes on."""

from __future__ import annotations

from pathlib import Path

from diagnostics.readers.following import Kept


def taken(kept: Kept[str], path: Path) -> tuple[int, str] | None:
    with path.open("rb") as stream:
        return kept.take(path, stream)


def kept_up_to(path: Path, offset: int) -> Kept[str]:
    kept: Kept[str] = Kept(most=2)
    with path.open("rb") as stream:
        kept.keep(path, stream, offset, "state")
    return kept


def test_a_file_that_has_grown_goes_on_and_its_state_is_handed_out_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"a" * 100)
    kept = kept_up_to(path, 90)
    path.write_bytes(b"a" * 200)
    assert taken(kept, path) == (90, "state")
    assert taken(kept, path) is None


def test_a_file_that_is_shorter_replaced_or_written_anew_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for change in ("shorter", "anew", "replaced"):
        path.write_bytes(b"a" * 100)
        kept = kept_up_to(path, 90)
        if change == "shorter":
            path.write_bytes(b"a" * 80)
        elif change == "anew":
            path.write_bytes(b"b" * 200)
        else:
            (tmp_path / "other").write_bytes(b"a" * 200)
            (tmp_path / "other").replace(path)
        assert taken(kept, path) is None


def test_only_the_files_read_last_are_kept(tmp_path: Path) -> None:
    kept: Kept[str] = Kept(most=2)
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(b"x")
        with path.open("rb") as stream:
            kept.keep(path, stream, 1, path.name)
    assert [taken(kept, path) for path in paths] == [None, (1, "b"), (1, "c")]
