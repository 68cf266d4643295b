"""The tutorials as files, and one of them as a process; that their outputs are right is checked by nbval."""

from __future__ import annotations

import base64
import os
import re
import time
import uuid
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
TUTORIALS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PICTURE_LIMIT = 60_000
WIDGETS = "application/vnd.jupyter.widget"

# Folders of a machine and its user.  scripts/tutorials writes /tmp/tutorial for temporary directories.
_MACHINE = re.compile(r"(?<![\w.])/(?!tmp/tutorial\b)(?:home|root|Users|usr|opt|var|private|work|mnt|srv|tmp)/[\w.-]+")

every_tutorial = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def stored_texts(notebook: Any) -> list[str]:
    """What a reader of the file sees as text: what was printed, values, tables, errors."""
    texts: list[str] = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            texts += [output.get("text", ""), output.get("evalue", ""), *output.get("traceback", [])]
            texts += [text for kind, text in output.get("data", {}).items() if kind.startswith("text/")]
    return texts


def test_there_are_seven_and_they_are_numbered() -> None:
    assert [path.name[:3] for path in TUTORIALS] == ["01-", "02-", "03-", "04-", "05-", "06-", "07-"]


@every_tutorial
def test_it_is_a_python_notebook_for_any_front_end(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert {key for cell in notebook.cells for key in cell.metadata} <= {"tags"}


@every_tutorial
def test_it_was_run_from_top_to_bottom(path: Path) -> None:
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@every_tutorial
def test_what_is_stored_can_be_read_without_a_kernel(path: Path) -> None:
    for cell in code_cells(read(path)):
        for output in cell.outputs:
            data = output.get("data", {})
            assert not [kind for kind in data if kind.startswith(WIDGETS)]
            if "image/png" in data:
                assert len(base64.b64decode(data["image/png"])) < PICTURE_LIMIT, cell.source


@every_tutorial
def test_a_live_view_is_stored_as_a_reader_saw_it(path: Path) -> None:
    for cell in code_cells(read(path)):
        if "live-view" in cell.metadata.get("tags", []):
            assert any("nbcluster-view" in output.get("data", {}).get("text/html", "") for output in cell.outputs)


@every_tutorial
def test_it_tells_nothing_of_the_machine_that_ran_it(path: Path) -> None:
    found = [match for text in stored_texts(read(path)) for match in _MACHINE.findall(text)]
    assert found == []


@every_tutorial
def test_it_says_what_one_learns_and_how_long_it_takes_and_leads_on(path: Path) -> None:
    cells = read(path).cells
    assert "**You will learn**" in cells[0].source
    assert re.search(r"minutes to read, about .* seconds to run", " ".join(cells[0].source.split()))
    following = TUTORIALS.index(path) + 1
    if following < len(TUTORIALS):
        assert f"]({TUTORIALS[following].name})" in cells[-1].source


def test_the_readme_leads_to_each() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in TUTORIALS if f"(notebooks/{path.name})" not in readme] == []


def marked(mark: str) -> list[int]:
    """The processes that inherited the mark and live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue  # it ended meanwhile, or is not ours
        if mark.encode() in environment.split(b"\0"):
            found.append(int(folder.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are looked for in /proc")
@pytest.mark.parametrize("name", ["02-when-things-fail", "05-postgresql-and-lab-machines"])
def test_nothing_is_left_behind(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One loses a node on the way, the other starts its nodes by hand: no process stays, and no file."""
    mark = f"NBCLUSTER_TEST_TUTORIAL={uuid.uuid4()}"
    monkeypatch.setenv(*mark.split("="))
    folders = {"HOME": tmp_path / "home", "TMPDIR": tmp_path / "temporary", "XDG_STATE_HOME": tmp_path / "state"}
    for variable, folder in folders.items():
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    notebook = read(ROOT / "notebooks" / f"{name}.ipynb")
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    end = time.monotonic() + 20
    while (left := [process for process in marked(mark) if process != os.getpid()]) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == []
    assert [path for path in folders["TMPDIR"].rglob("*") if path.is_file()] == []
    assert [path for path in folders["XDG_STATE_HOME"].rglob("*") if path.is_file()] == []
