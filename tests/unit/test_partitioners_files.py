from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.errors import FileChanged, FileNotSeen, InputError
from nbcluster.partitioners.base import Nodes
from nbcluster.partitioners.choosing import cut
from nbcluster.partitioners.files import Paths, files
from nbcluster.partitioners.handle import arrived
from nbcluster.partitioners.sight import SeenFile

NODES = Nodes(2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """b.csv, a.csv, sub/c.csv."""
    (tmp_path / "sub").mkdir()
    for name in ("b.csv", "a.csv", "sub/c.csv"):
        (tmp_path / name).write_text(name)
    return tmp_path


def paths(source: Any, **options: Any) -> list[list[str]]:
    return [list(part.value) for part in cut(files(source), NODES, **options)]


@given(st.integers(1, 30), st.none() | st.integers(1, 40), st.integers(1, 7))
def test_the_files_of_a_split_are_all_in_order(
    tmp_path_factory: pytest.TempPathFactory, count: int, partitions: int | None, per: int
) -> None:
    folder = tmp_path_factory.mktemp("files")
    wanted = [folder / f"{number:02}.csv" for number in range(count)]
    for path in reversed(wanted):
        path.touch()
    parts = cut(files(folder / "*.csv", per), NODES, partitions=partitions)
    assert [path for part in parts for path in part.value] == list(map(str, wanted))
    assert len({part.key for part in parts}) == len(parts)


def test_files_are_sorted_absolute_and_as_many_for_each_part_as_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    a, b, c = (str(folder / name) for name in ("a.csv", "b.csv", "sub/c.csv"))
    assert paths("*.csv") == [[a], [b]]
    assert paths("**/*.csv", chunk=2) == [[a, b], [c]]
    assert paths(["sub/c.csv", Path("a.csv")]) == [[a], [c]]


def test_parts_are_named_by_what_is_below_their_common_folder(folder: Path) -> None:
    assert [part.key for part in cut(files(folder / "**/*.csv"), NODES)] == ["a.csv", "b.csv", "sub/c.csv"]
    assert [part.key for part in cut(files(folder / "**/*.csv", per=2), NODES)] == ["a.csv..b.csv", "sub/c.csv"]


def test_a_name_with_the_signs_of_a_pattern_is_a_name_if_there_is_such_a_file(folder: Path) -> None:
    odd = folder / "x[1].csv"
    odd.touch()
    assert paths(odd) == [[str(odd)]]


def test_files_show_what_they_split_and_when_nothing_matches(folder: Path) -> None:
    pattern = str(folder / "*.csv")
    source = files(pattern, per=2)
    assert repr(source) == f"files({pattern!r}): 2 files, 2 for each part"
    for one in folder.glob("*.csv"):
        one.unlink()
    assert repr(source) == f"files({pattern!r}): nb.files: no file matches {pattern}"


def test_a_file_that_two_patterns_match_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^nb.files: .*/a.csv is matched twice; name each file once$"):
        paths([folder / "*.csv", folder / "a.*"])


def test_a_file_and_a_link_to_it_are_refused(folder: Path) -> None:
    (folder / "latest.csv").symlink_to(folder / "b.csv")
    with pytest.raises(InputError, match=r"^nb.files: .* and .* are the same file; name each file once$"):
        paths(folder / "*.csv")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("nothing*", "^nb.files: no file matches .*/nothing\\*$"),
        ("missing.csv", "^nb.files: there is no file .*/missing.csv$"),
        ("sub", "^nb.files: .*/sub is a directory; write .*/sub/\\* for the files in it$"),
        ([], "^nb.files: the list of paths is empty"),
        (3, "^nb.files needs a path or a pattern such as 'data/\\*.csv', not 3$"),
        (" ", "^nb.files needs a path"),
        ("s3://bucket/x.csv", "^nb.files: s3://bucket/x.csv is no file that a node can open"),
    ],
)
def test_paths_that_make_no_sense_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: Any, sentence: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=sentence):
        paths(given)


# --- where they arrive -----------------------------------------------------------------------------


def part_of(folder: Path) -> Paths:
    """What travels for both files of the folder itself."""
    (part,) = cut(files(folder / "*.csv", per=2), NODES)
    return pickle.loads(pickle.dumps(part.value))


def test_where_it_arrives_it_is_a_plain_list(folder: Path) -> None:
    found = arrived(part_of(folder))
    assert found == [str(folder / "a.csv"), str(folder / "b.csv")]
    assert type(found) is list


def test_a_file_that_is_not_there_is_told_with_the_machine_and_the_path(folder: Path) -> None:
    part = part_of(folder)
    (folder / "b.csv").unlink()
    with pytest.raises(FileNotSeen, match=r"^\S+ cannot see .*/b.csv: put it where every node sees it"):
        arrived(part)


def test_a_folder_that_hides_a_file_is_told(folder: Path) -> None:
    part = part_of(folder)
    (folder / "b.csv").unlink()
    (folder / "b.csv").mkdir()
    with pytest.raises(FileNotSeen, match=r"may not read .*/b.csv"):
        arrived(part)


def test_a_file_of_another_size_is_told(folder: Path) -> None:
    part = part_of(folder)
    (folder / "b.csv").write_text("longer than it was")
    with pytest.raises(FileChanged, match=r"/b.csv has changed since it was split: it had 5 bytes and has 18"):
        arrived(part)


def test_a_file_that_was_written_again_is_told(folder: Path) -> None:
    part = part_of(folder)
    seen = SeenFile.at(str(folder / "b.csv"))
    os.utime(folder / "b.csv", ns=(seen.changed, seen.changed + 1_000_000_000))
    assert arrived(part)
    os.utime(folder / "b.csv", ns=(seen.changed, seen.changed + 60_000_000_000))
    with pytest.raises(FileChanged, match=r"/b.csv has changed since it was split: .* another time of change"):
        arrived(part)


def test_what_travels_is_small_however_large_the_files(folder: Path) -> None:
    with open(folder / "a.csv", "ab") as file:
        file.truncate(10**9)
    assert len(pickle.dumps(part_of(folder))) < 1000
