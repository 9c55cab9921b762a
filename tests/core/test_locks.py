"""One process to an output folder, and what killed writers left there."""

from __future__ import annotations

from pathlib import Path

from core.locks import only_one


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / "parts" / "identity" / ".cost.json.5815.part"
    kept = [tmp_path / "parts" / ".net.pth.part", tmp_path / "my.5815.part", tmp_path / ".hidden"]
    left.parent.mkdir(parents=True)
    for path in (left, *kept):
        path.write_bytes(b"half")
    with only_one(tmp_path):
        assert not left.exists()
        left.write_bytes(b"being written")
        with only_one(tmp_path):  # the same process again: its own writer may be at work
            assert left.exists()
    assert all(path.read_bytes() == b"half" for path in kept)
    with only_one(tmp_path / "not-there-yet"):
        pass
