"""Showing things without a notebook."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nbcluster import display
from nbcluster.diagnosing.diagnosis import Diagnosis, Finding, Result
from nbcluster.errors import InputError


def test_a_script_has_text() -> None:
    script = (
        "from nbcluster.diagnosing.diagnosis import *; d = Diagnosis([Finding('speed', Result.OK, 'fine')]);"
        "print(d._repr_mimebundle_())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    diagnosis = Diagnosis([Finding("speed", Result.OK, "fine")])
    assert done.stdout == f"{ {'text/plain': str(diagnosis)} }\n"


def test_watching_outside_of_a_notebook_says_what_there_is_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    with pytest.raises(InputError, match="in a terminal there are: nbcluster nodes, jobs"):
        display.watch(None)  # type: ignore[arg-type]
