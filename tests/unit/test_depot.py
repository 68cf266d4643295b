"""Files that hold large values: complete or not there, private, and gone with whoever left them."""

from __future__ import annotations

import errno
import gc
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbcluster.depot import names
from nbcluster.depot.folders import Folder, LocalFolder, checked_address, folder_at
from nbcluster.depot.spool import Spool, SpoolFile
from nbcluster.errors import InputError, ValueLost, ValueNotStored

# --- names ---------------------------------------------------------------------------------------


def test_names_cannot_be_guessed_and_are_in_order_of_their_making() -> None:
    made = [names.new_name() for _ in range(100)]
    assert len(set(made)) == 100
    assert all(names.is_name(name) for name in made)
    assert all(len(names.OWN + name) <= 64 for name in made)
    assert names.made_before(10) < made[0] < names.made_before(-10)


@pytest.mark.parametrize(
    "text", ["", "../x", "a/b", ".", "A" * 42, "0" * 41, "0" * 43, f"{'0' * 41}\n", f"/{'0' * 41}"]
)
def test_what_is_no_name_of_ours_leads_nowhere(text: str, tmp_path: Path) -> None:
    assert not names.is_name(text)
    assert names.name_in(f"file:{text}") is None
    folder = LocalFolder(tmp_path, "here", shared=False)
    with pytest.raises(ValueLost, match="was altered"):
        folder.bring(text, Spool(tmp_path))
    with pytest.raises(ValueLost, match="was altered"):
        folder.delete(text)


def test_a_hash_is_no_reference() -> None:
    assert not names.is_reference("0" * 64)
    assert not names.is_reference(None)
    assert names.is_reference(names.OWN + names.new_name())


# --- the spool -----------------------------------------------------------------------------------


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_spooled_file_goes_with_its_last_reference(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    file = spool.file()
    path = file.path
    path.write_bytes(b"x")
    other = file
    del file
    gc.collect()
    assert path.exists()
    del other
    gc.collect()
    assert not path.exists()
    spool.close()


def test_a_spool_is_private_and_goes_when_it_is_closed(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    file = spool.file()
    file.path.write_bytes(b"x")
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


LEAVES = """
import os, sys, signal
from pathlib import Path
from nbcluster.depot.spool import Spool
file = Spool(Path(sys.argv[1])).file()
file.path.write_bytes(b"left")
print(file.path, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_left_goes_when_the_next_one_needs_its_spool(tmp_path: Path) -> None:
    others = [
        subprocess.Popen([sys.executable, "-c", LEAVES, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    try:
        killed, living = (Path(one.stdout.readline().decode().strip()) for one in others if one.stdout is not None)
        others[0].kill()
        others[0].wait(10)
        assert killed.exists()
        spool = Spool(tmp_path)
        file = spool.file()
        assert not killed.parent.exists()
        assert living.exists()
        del file
        spool.close()
    finally:
        for one in others:
            one.kill()
            one.communicate()


# --- folders -------------------------------------------------------------------------------------


@pytest.fixture(params=["private", "shared", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "memory":
        return folder_at(f"memory://{tmp_path.name}", "part")
    if request.param == "shared":
        return folder_at(f"file://{tmp_path}", "part")
    return LocalFolder(tmp_path / "beside", "beside", shared=False)


def writing(*pieces: bytes) -> Callable[[Callable[[Any], object]], bytes]:
    def write(to: Callable[[Any], object]) -> bytes:
        for piece in pieces:
            to(piece)
        return b"digest"

    return write


def content(file: Path | SpoolFile) -> bytes:
    return Path(file).read_bytes()


def test_what_is_added_is_brought_until_it_is_deleted(folder: Folder, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    name = folder.add(writing(b"some", b"", b"thing"))
    assert content(folder.bring(name, spool)) == b"something"
    assert list(folder.names()) == [name]
    folder.delete(name)
    folder.delete(name)
    assert list(folder.names()) == []
    with pytest.raises(ValueLost, match=r"cannot be read from .*: a file of it is gone"):
        folder.bring(name, spool)
    spool.close()


def test_a_spooled_file_is_taken_in(folder: Folder, tmp_path: Path) -> None:
    spool = folder.spool() or Spool(tmp_path / "spool")
    file = spool.file()
    file.path.write_bytes(b"from a child")
    name = folder.take_in(file)
    assert content(folder.bring(name, spool)) == b"from a child"
    del file
    gc.collect()
    assert content(folder.bring(name, spool)) == b"from a child"
    spool.close()


def test_what_breaks_off_leaves_nothing(folder: Folder, tmp_path: Path) -> None:
    def full(to: Callable[[Any], object]) -> bytes:
        to(b"some")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ValueNotStored, match=r"cannot be written to .*: No space left on device; make room there$"):
        folder.add(full)
    assert list(folder.names()) == []
    gc.collect()
    assert not [path for path in files_in(tmp_path) if path.suffix != ".lock"]
    folder.close()


def test_files_beside_a_database_are_for_their_owner_only(tmp_path: Path) -> None:
    folder = LocalFolder(tmp_path / "beside", "beside", shared=False)
    name = folder.add(writing(b"x"))
    assert stat.S_IMODE((tmp_path / "beside").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "beside" / name).stat().st_mode) == 0o600


@pytest.mark.parametrize(("mode", "file"), [(0o700, 0o600), (0o770, 0o640), (0o775, 0o644)])
def test_a_shared_folder_lets_read_whom_the_directory_above_lets(mode: int, file: int, tmp_path: Path) -> None:
    share = tmp_path / "share"
    share.mkdir()
    share.chmod(mode)
    folder = folder_at(f"file://{share}", "part")
    name = folder.add(writing(b"x"))
    assert stat.S_IMODE((share / "part").stat().st_mode) == mode
    assert stat.S_IMODE((share / "part" / name).stat().st_mode) == file


def test_a_mount_that_is_missing_is_not_filled_in_its_place(tmp_path: Path) -> None:
    folder = folder_at(f"file://{tmp_path}/mount", "part")
    where = rf"{tmp_path}/mount"
    with pytest.raises(ValueNotStored, match=rf"cannot be written to {where}: No such file or directory; every node"):
        folder.add(writing(b"x"))
    with pytest.raises(ValueLost, match=rf"cannot be read from {where}: there is no such folder on this machine$"):
        folder.bring(names.new_name(), Spool(tmp_path / "spool"))
    assert list(folder.names()) == []
    assert not (tmp_path / "mount").exists()


@pytest.mark.parametrize("address", ["file:///share", "file://localhost/share/values", "memory://somewhere"])
def test_addresses_of_folders(address: str) -> None:
    assert checked_address(address) == address


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("/share", r"^results: '/share' is no address of a folder; write for example 'file:///share/values' or"),
        (
            "file://share/values",
            r"^results: 'file://share/values' names a host; write file:///share/values, with three",
        ),
        ("file:share", r"^results: 'file:share' names no whole path"),
        ("nowhere://x", r"^results: 'nowhere://x' cannot be used: Protocol not known: nowhere$"),
        (3, r"^results: '3' is no address of a folder"),
    ],
)
def test_what_is_no_address_is_refused_in_one_sentence(address: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        checked_address(address)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is no folder; name one that every node sees"):
        checked_address(f"file://{tmp_path}/file")
