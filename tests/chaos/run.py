"""One fault on one database: set up, do harm, judge."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.checker import INVARIANTS, Violation, check, counts
from tests.chaos.faults import Fault
from tests.chaos.harness import ChaosLab, log_of
from tests.chaos.history import History
from tests.chaos.server import OwnServer


@dataclass(slots=True)
class Run:
    """What came of it."""

    fault: str
    database: str
    seed: int
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float | int | str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    error: str = ""

    @property
    def good(self) -> bool:
        return not self.violations and not self.error

    def line(self) -> str:
        shown = {name: number for name, number in self.counts.items() if number}
        told = " ".join(f"{name}={number}" for name, number in (shown | self.figures).items())
        broken = ",".join(dict.fromkeys(violation.invariant for violation in self.violations))
        verdict = "ok" if self.good else f"VIOLATED {broken}" if broken else "ERROR"
        judged = f"{len(INVARIANTS)} invariants {verdict:8}"
        return f"{self.fault:32} {self.database:10} {self.seconds:6.1f} s  {judged}  {told}"


@contextlib.contextmanager
def lab_for(fault: Fault, database: str, seed: int, folder: Path, server: OwnServer | None) -> Iterator[ChaosLab]:
    """An empty database with nothing on it; nothing is left of it afterwards."""
    if database == "sqlite":
        disk = folder / "disk" if fault.small_disk else folder
        if fault.small_disk:
            disk.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], check=True)
        url, own = f"sqlite:///{disk / 'cluster.db'}", None
    else:
        assert server is not None
        if not server.running:
            server.start()
        url, own = server.fresh_database(), server
    lab = ChaosLab(url, folder, seed=seed, server=own, settings=fault.settings)
    try:
        yield lab
    finally:
        lab.close()
        if own is not None:
            own.thaw()
            if not own.running:
                own.start()
            own.drop_database(url)
        if fault.small_disk:
            subprocess.run(["umount", str(folder / "disk")], check=True)


def run_fault(
    fault: Fault,
    database: str,
    seed: int,
    server: OwnServer | None,
    say: Callable[[str], object] = print,
    keep: Path | None = None,
) -> Run:
    """Do it, judge it; never raises for what went wrong in the cluster."""
    run = Run(fault.name, database, seed)
    folder = Path(tempfile.mkdtemp(prefix="nbcluster-chaos-"))
    begin = time.monotonic()
    try:
        with lab_for(fault, database, seed, folder, server) as lab:
            try:
                fault.act(lab)
            except Exception:  # noqa: BLE001 -- it is told, and the history shows why
                run.error = traceback.format_exc()
            history = lab.finish(read=not run.error)
            run.figures = dict(lab.figures)
            judge(run, history, say)
            if not run.good:
                say(run.error + log_of(lab))
    except Exception:  # noqa: BLE001 -- told; the next fault has a lab of its own
        run.error += traceback.format_exc()
        say(run.error)
    finally:
        if keep is not None and not run.good:
            shutil.copytree(
                folder, keep / f"{fault.name}-{database}-{seed}", dirs_exist_ok=True, ignore_dangling_symlinks=True
            )
        shutil.rmtree(folder, ignore_errors=True)
        run.seconds = time.monotonic() - begin
    return run


def judge(run: Run, history: History, say: Callable[[str], object]) -> None:
    run.counts = counts(history)
    run.violations = check(history, say, quiet=True)
