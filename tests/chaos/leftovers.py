"""The end of a run: everybody is told to go in good order, and what is still there afterwards is named."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from tests.chaos.history import Leftovers
from tests.cluster.nodes import OneProcess, processes
from tests.conftest import RUN, processes_of_this_run

if TYPE_CHECKING:
    from tests.chaos.harness import ChaosLab

_GRACE = 20.0
_SESSIONS = (
    "SELECT pid, application_name, state FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'nbcluster%'"
)


def end_in_good_order(running: Sequence[OneProcess]) -> dict[str, int]:
    """Tell all of them to end; gives the exit codes of those that did not end well."""
    for process in running:
        process.thaw()
        process.send(signal.SIGTERM)
    bad = {}
    deadline = time.monotonic() + _GRACE
    for process in running:
        try:
            code = process.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            code = 999
        late = process.log.name.startswith("kernel") and code == -signal.SIGTERM  # it was ending by itself
        if code != 0 and not late:
            bad[process.log.name] = code
    return bad


def left_behind(lab: ChaosLab, left: Leftovers) -> None:
    """What is still there some seconds after everything has ended."""
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline and (_processes(lab) or _sessions(lab)):
        time.sleep(0.1)
    left.processes = _processes(lab)
    left.sessions = _sessions(lab)
    left.files = _files(lab) if lab.sqlite else []


def _processes(lab: ChaosLab) -> list[str]:
    """Processes of this run that are neither ours nor the server's."""
    if not os.environ.get(RUN):
        return []
    parents = processes()
    kept = {os.getpid()} | ({lab.server.supervisor} if lab.server else set())
    found = []
    for pid, command in processes_of_this_run().items():
        ancestors, one = {pid}, pid
        while (one := parents.get(one, 0)) and one not in ancestors:
            ancestors.add(one)
        in_the_lab = False
        with contextlib.suppress(OSError):
            in_the_lab = Path(f"/proc/{pid}/cwd").resolve() == lab.folder.resolve()
        if in_the_lab or not ancestors & kept:
            found.append(f"{pid} {command[:200]}")
    return found


def _sessions(lab: ChaosLab) -> list[str]:
    if lab.sqlite:
        return []
    return [" ".join(map(str, row)) for row in lab.tables.rows(_SESSIONS)]


def _files(lab: ChaosLab) -> list[str]:
    """Sockets and signs of life beside an embedded file, whose processes are all gone, and drafts of files."""
    database = Path(str(make_url(lab.url).database))
    beside = database.with_name(database.name + ".wake")
    found = [path.name for path in beside.glob("*")] if beside.is_dir() else []
    # The folder of large values stays; nothing in these labs is large enough to be kept in it.
    values = database.with_name(database.name + ".values")
    found += [str(path.relative_to(database.parent)) for path in values.rglob("*")]
    known = {database.name + ending for ending in ("", "-wal", "-shm", ".key", ".wake", ".lock", ".values")}
    return found + [p.name for p in database.parent.glob(f"{database.name}*") if p.name not in known]
