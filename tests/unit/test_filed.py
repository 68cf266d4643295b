"""Values that a child leaves in a file: what it tells of them is not believed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbcluster.depot.spool import Spool, SpoolFile
from nbcluster.node.calls import Filed, in_file, with_file

DIGEST = b"d" * 32


@pytest.fixture
def room(tmp_path: Path) -> Iterator[SpoolFile]:
    spool = Spool(tmp_path)
    file = spool.file()
    file.path.write_bytes(b"values")
    yield file
    spool.close()


def told(**changes: Any) -> dict[str, Any]:
    return {"file": {"size": 6, "sha256": DIGEST.hex()} | changes}


def test_values_in_the_file_take_the_place_of_the_first_blob(room: SpoolFile) -> None:
    assert in_file(told())
    assert not in_file({"exit_code": "COMPLETED"})
    assert with_file(told(), [b"", b"[]", b"seconds"], room) == (Filed(room, 6, DIGEST), b"[]", b"seconds")


@pytest.mark.parametrize(
    "head",
    [
        told(size=7), told(size="many"), told(size=None), told(sha256="abc"), told(sha256="00" * 31), told(sha256=3),
        {"file": {}}, {"file": 3}, {"file": None}, {"rows": {"filed": 7}}, {"rows": {"filed": "x"}},
    ],
)  # fmt: skip
def test_what_is_not_as_the_child_says_is_refused(room: SpoolFile, head: dict[str, Any]) -> None:
    with pytest.raises((ValueError, LookupError, TypeError)):
        with_file(head, [b"", b"[]", b""], room)


def test_a_file_that_nobody_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody asked for"):
        with_file(told(), [b"", b"[]", b""], None)


def test_another_file_in_its_place_is_refused(room: SpoolFile, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    room.path.unlink()
    os.symlink(tmp_path / "secret", room.path)
    with pytest.raises(ValueError, match="not as it says"):
        with_file(told(), [b"", b"[]", b""], room)


def test_a_file_that_is_not_there_is_refused(room: SpoolFile) -> None:
    room.path.unlink()
    with pytest.raises(OSError, match="No such file"):
        with_file(told(), [b"", b"[]", b""], room)
