"""nbcluster: fan a notebook cell out over machines with nothing but a database.

The public names are loaded when first used, so that importing the package costs
a node, a child and a notebook's start nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbcluster.api import Cluster as Cluster
    from nbcluster.api import connect as connect
    from nbcluster.api import doctor as doctor
    from nbcluster.diagnosing.diagnosis import Diagnosis as Diagnosis
    from nbcluster.diagnosing.diagnosis import Finding as Finding
    from nbcluster.errors import (
        JobFailed as JobFailed,
    )
    from nbcluster.errors import (
        JobStopped as JobStopped,
    )
    from nbcluster.errors import (
        NBClusterError as NBClusterError,
    )
    from nbcluster.errors import (
        PartitionError as PartitionError,
    )
    from nbcluster.errors import (
        UsageError as UsageError,
    )
    from nbcluster.handle import JobHandle as JobHandle
    from nbcluster.looking import StepHandle as StepHandle
    from nbcluster.notebook.extension import load_ipython_extension as load_ipython_extension
    from nbcluster.notebook.extension import unload_ipython_extension as unload_ipython_extension
    from nbcluster.outcome import JobOutcome as JobOutcome
    from nbcluster.outcome import PartitionOutcome as PartitionOutcome
    from nbcluster.partitioners.base import Nodes as Nodes
    from nbcluster.partitioners.base import Partitioner as Partitioner
    from nbcluster.partitioners.choosing import partitioner as partitioner
    from nbcluster.partitioners.csv import csv as csv
    from nbcluster.partitioners.dates import dates as dates
    from nbcluster.partitioners.files import files as files
    from nbcluster.partitioners.frames import frame as frame
    from nbcluster.partitioners.grid import grid as grid
    from nbcluster.partitioners.keys import keys as keys
    from nbcluster.partitioners.parquet import parquet as parquet
    from nbcluster.partitioners.sequences import items as items
    from nbcluster.partitioners.sequences import ranges as ranges
    from nbcluster.partitioners.sql import sql as sql
    from nbcluster.pipeline import Pipeline as Pipeline
    from nbcluster.rows.target import table as table
    from nbcluster.running import Current as Current
    from nbcluster.running import current as current
    from nbcluster.sharing import Shared as Shared

__version__ = "0.1.0"

_HOMES = {
    "api": ("Cluster", "connect", "doctor"),
    "diagnosing.diagnosis": ("Diagnosis", "Finding"),
    "running": ("Current", "current"),
    "rows.target": ("table",),
    "handle": ("JobHandle",),
    "looking": ("StepHandle",),
    "pipeline": ("Pipeline",),
    "sharing": ("Shared",),
    "outcome": ("JobOutcome", "PartitionOutcome"),
    "partitioners.base": ("Nodes", "Partitioner"),
    "partitioners.choosing": ("partitioner",),
    "partitioners.csv": ("csv",),
    "partitioners.dates": ("dates",),
    "partitioners.files": ("files",),
    "partitioners.frames": ("frame",),
    "partitioners.grid": ("grid",),
    "partitioners.keys": ("keys",),
    "partitioners.parquet": ("parquet",),
    "partitioners.sequences": ("items", "ranges"),
    "partitioners.sql": ("sql",),
    "errors": (
        "CannotPickle",
        "ConfigError",
        "DatabaseError",
        "DatabaseUnreachable",
        "FileChanged",
        "FileNotSeen",
        "InputError",
        "JobError",
        "JobFailed",
        "JobStopped",
        "LoginRefused",
        "NBClusterError",
        "NodeError",
        "PartitionError",
        "PayloadError",
        "SchemaError",
        "SchemaMissing",
        "SchemaTooNew",
        "SchemaTooOld",
        "SignatureError",
        "TooLarge",
        "UnknownJob",
        "UsageError",
        "ValueLost",
        "ValueNotStored",
        "WaitTimeout",
    ),
    "notebook.extension": ("load_ipython_extension", "unload_ipython_extension"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 -- the names are strings, only computed


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nbcluster' has no attribute {name!r}")
    value = getattr(import_module(f"nbcluster.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
