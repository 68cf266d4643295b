"""``make demo`` as a script: right figures, and nothing left behind, whatever ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.waiting import wait_until

DEMO = Path(__file__).resolve().parents[2] / "scripts" / "demo.py"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The demo's temporary directory goes into this one."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_the_demo_counts_every_flight_and_cleans_up(folder: Path) -> None:
    done = subprocess.run([sys.executable, str(DEMO)], capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "16 of 16 airlines" in done.stdout
    assert "Frontier Airlines Inc." in done.stdout
    assert "All 336,776 flights were counted, and plain pandas gives the same figures." in done.stdout
    assert done.stdout.count("ACTIVE") == 2
    assert done.stdout.endswith("2 nodes stopped, files removed\n")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_cleans_up_too(number: signal.Signals, folder: Path) -> None:
    output = folder.parent / f"{folder.name}.out"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, str(DEMO)], stdout=file, stderr=file, env=os.environ | {"PYTHONUNBUFFERED": "1"}
        )
    try:
        wait_until(lambda: b"airlines, " in output.read_bytes(), 60, "the first sign of progress")
        process.send_signal(number)
        assert process.wait(60) == 130
    finally:
        process.kill()
        process.wait()
    text = output.read_text()
    output.unlink()
    assert "2 nodes stopped, files removed" in text
    assert text.endswith("interrupted\n")
    assert "Traceback" not in text
    assert list(folder.iterdir()) == []
