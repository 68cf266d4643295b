"""What starts must not load what it does not need: seen from a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

NOTEBOOK = {"IPython", "ipywidgets", "ipykernel", "traitlets", "matplotlib"}
HEAVY = NOTEBOOK | {"pandas", "numpy", "duckdb"}
DATABASE = {"sqlalchemy", "psycopg", "sqlite3"}


def loaded_by(module: str) -> set[str]:
    """Every module that is loaded once ``module`` is imported."""
    script = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(shown.stdout))


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("nbcluster", HEAVY | DATABASE | {"cloudpickle", "nbcluster.config", "nbcluster.store"}),
        ("nbcluster.cli.node", HEAVY),
        ("nbcluster.node.child", HEAVY | DATABASE | {"nbcluster.store", "nbcluster.config", "nbcluster.signing"}),
        ("nbcluster.store", HEAVY | {"psycopg", "cloudpickle"}),
        ("nbcluster.api", NOTEBOOK | {"duckdb"}),
        ("nbcluster.frames, nbcluster.handle", NOTEBOOK | {"duckdb", "nbcluster.plots"}),
        ("nbcluster.cli.admin", HEAVY | {"nbcluster.plots"}),
        ("nbcluster.lifecycle", HEAVY | DATABASE | {"cloudpickle", "nbcluster.records"}),
        (
            "nbcluster.partitioners.choosing, nbcluster.strategies",
            HEAVY | DATABASE | {"cloudpickle", "nbcluster.store"},
        ),
    ],
    ids=[
        "the package",
        "a node",
        "a child",
        "the store until a server is met",
        "the API",
        "frames, until one is drawn",
        "the command line",
        "the state machine",
        "splitting and assigning",
    ],
)
def test_importing_loads_none_of(module: str, unwanted: set[str]) -> None:
    loaded = loaded_by(module)
    assert not {name for name in loaded if name in unwanted or name.split(".")[0] in unwanted}


def test_loading_the_extension_reaches_for_no_database_and_no_frames() -> None:
    loaded = loaded_by("nbcluster.notebook.extension")
    assert not loaded & (DATABASE | {"pandas", "duckdb", "matplotlib"})
