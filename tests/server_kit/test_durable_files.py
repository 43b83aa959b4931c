"""A file is replaced whole, for its owner alone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from server_kit.durable_files import replace_durably


def test_what_was_open_to_others_is_its_owners_alone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("old")
    path.chmod(0o644)
    replace_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("not yours")
    path = tmp_path / "state.json"
    path.symlink_to(elsewhere)
    replace_durably(path, b"new")
    assert elsewhere.read_text() == "not yours"
    assert not path.is_symlink()


def test_writers_at_the_same_time_leave_one_whole_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    contents = [bytes([65 + number]) * 100_000 for number in range(8)]
    together = threading.Barrier(len(contents))

    def write(content: bytes) -> None:
        together.wait(10)
        replace_durably(path, content)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        replace_durably(tmp_path / "missing" / "state.json", b"new")
