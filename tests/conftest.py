"""What every test gets: its own state, a database to itself, and no process left behind.

* ``database_url``: a fresh empty database, once per database system; ``@pytest.mark.needs("notify")``
  runs a test only on the systems that can do what it is about.
* ``postgres``: the session's server (see ``tests/postgres.py``).  Without one its tests are skipped.
* In CI (the variable ``CI`` is set) a skip is a failure, whatever its reason.
* Home, settings and state directories are temporary for the whole run, and ``NBCLUSTER_*`` settings of
  the developer's shell are gone.
* Every process that this run starts carries ``NBCLUSTER_TEST_RUN`` in its environment.  One that is
  still there at the end is an error of the run, and is killed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.postgres import NoPostgres, PostgresServer, postgres_server

# No test judges time, and a busy machine is slow.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

RUN = "NBCLUSTER_TEST_RUN"
GRACE_SECONDS = 10.0  # a notebook kernel takes a moment to go

CAPABILITIES = {
    # What a database system can do, for tests that are about just that.
    "sqlite": {"file"},
    "postgresql": {
        "notify",  # wakes other processes
        "skip_locked",  # hands locked rows to nobody
        "login",  # asks for a user and a password
        "sessions",  # sees, and can end, the connections of others
    },
}


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


# --- databases -------------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" not in metafunc.fixturenames:
        return
    needed = {name for marker in metafunc.definition.iter_markers("needs") for name in marker.args}
    unknown = needed - set().union(*CAPABILITIES.values())
    if unknown:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: no database has {', '.join(sorted(unknown))}")
    able = [system for system, capabilities in CAPABILITIES.items() if needed <= capabilities]
    metafunc.parametrize("database_url", able, indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The PostgreSQL server of this run."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(postgres_server())
        except NoPostgres as reason:
            pytest.skip(str(reason))
        yield server


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database that only this test uses."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'cluster.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.fresh_database()
    yield url
    server.drop_database(url)


# --- the run's own surroundings --------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    patch = pytest.MonkeyPatch()
    config.add_cleanup(patch.undo)
    home = Path(tempfile.mkdtemp(prefix="nbcluster-home-"))
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in list(os.environ):
        if name.startswith("NBCLUSTER_") and not name.startswith("NBCLUSTER_TEST_"):
            patch.delenv(name)
    patch.setenv("HOME", str(home))
    for name, folder in {"STATE": "state", "CONFIG": "config", "DATA": "data"}.items():
        patch.setenv(f"XDG_{name}_HOME", str(home / folder))
    patch.setenv(RUN, secrets.token_hex(8))
    if in_ci():
        config.pluginmanager.register(SkipsAreFailures(), "skips-are-failures")


class SkipsAreFailures:
    """In CI everything runs, or the run is red.  Registered, so that it sees notebooks too."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.skipped and not hasattr(report, "wasxfail"):
            fail(report)
        return report

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if report.skipped:
            fail(report)
        return report


def fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that says why."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"{report.nodeid}\nnothing is skipped in CI: {reason}"


# --- nothing is left behind ------------------------------------------------------------------------------------------


def processes_of_this_run() -> dict[int, str]:
    """Other processes that carry this run's mark: id and command line.  Empty where there is no /proc."""
    mark = f"{RUN}={os.environ[RUN]}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            carries = mark in (folder / "environ").read_bytes().split(b"\0")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # ended meanwhile, or somebody else's
        # multiprocessing's own servants of this process end with it.
        servant = parent == os.getpid() and ("resource_tracker" in command or "forkserver" in command)
        if carries and not servant and int(folder.name) != os.getpid():
            found[int(folder.name)] = command
    return found


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    end = time.monotonic() + GRACE_SECONDS
    while (left := processes_of_this_run()) and time.monotonic() < end:
        time.sleep(0.1)
    if not left:
        return
    for process_id in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process_id, signal.SIGKILL)
    listed = "\n".join(f"  {process_id}  {command[:200]}" for process_id, command in left.items())
    text = f"The tests left {len(left)} process(es) behind; they were killed:\n{listed}"
    session.exitstatus = pytest.ExitCode.TESTS_FAILED
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        # As an error in the reporter's own books it is shown with the others and counted in the closing line.
        report = pytest.TestReport("left-behind", ("", 0, "left-behind"), {}, "failed", text, "teardown")
        reporter.stats.setdefault("error", []).append(report)
