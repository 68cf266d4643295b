"""A quick tier of the chaos suite on both databases; ``make chaos`` runs all of it.

The seed is random and shown with a failure; NBCLUSTER_CHAOS_SEED repeats it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.chaos import faults
from tests.chaos.run import run_fault
from tests.chaos.server import OwnServer, own_server
from tests.postgres import NoPostgres

SEED = int(os.environ.get("NBCLUSTER_CHAOS_SEED") or secrets.randbelow(10**6) + 1)
SMOKE = [(one, database) for one in faults.load().values() if one.smoke for database in one.databases]


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """A PostgreSQL of this module's own, because it is stopped and killed."""
    try:
        with own_server() as started:
            yield started
    except NoPostgres as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize(("one", "database"), SMOKE, ids=lambda it: getattr(it, "name", it))
def test_every_invariant_holds(one: faults.Fault, database: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue("server") if database == faults.POSTGRESQL else None
    run = run_fault(one, database, SEED, server)
    print(run.line())
    assert run.good, f"{run.line()}\nrepeat with NBCLUSTER_CHAOS_SEED={SEED}\n{run.error}"
