"""What users import is listed here once more: a name that comes or goes is noticed."""

from __future__ import annotations

import pytest

import nbcluster as nb

PUBLIC = {
    "__version__",
    # the cluster and its jobs
    "connect", "Cluster", "JobHandle", "Shared",
    # examining it
    "doctor", "Diagnosis", "Finding",
    # jobs of several steps, and what callbacks are told
    "Pipeline", "StepHandle", "JobOutcome", "PartitionOutcome",
    # inside a function that runs on a node
    "current", "Current",
    # splitting
    "Partitioner", "Nodes", "partitioner", "csv", "dates", "parquet", "files", "frame", "grid", "items", "keys",
    "ranges", "sql",
    # where rows go
    "table",
    # errors
    "FileNotSeen", "FileChanged",
    "NBClusterError", "UsageError", "ConfigError", "InputError", "PayloadError", "CannotPickle", "TooLarge",
    "ValueLost", "ValueNotStored",
    "UnknownJob", "DatabaseError", "DatabaseUnreachable", "LoginRefused", "SchemaError",
    "SchemaMissing", "SchemaTooNew", "SchemaTooOld", "SignatureError", "NodeError", "JobError", "JobFailed",
    "JobStopped", "WaitTimeout", "PartitionError",
    # %load_ext nbcluster
    "load_ipython_extension", "unload_ipython_extension",
}  # fmt: skip


def test_exactly_these_names_are_public() -> None:
    assert set(nb.__all__) == PUBLIC
    assert len(nb.__all__) == len(PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_each_public_name_is_there_and_explained(name: str) -> None:
    value = getattr(nb, name)
    assert name in dir(nb)
    assert name == "__version__" or value.__doc__


def test_every_error_of_the_tree_is_public() -> None:
    from nbcluster import errors

    ours = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    assert ours <= PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'nbcluster' has no attribute 'conect'"):
        nb.conect  # noqa: B018


def test_the_package_says_that_it_is_typed() -> None:
    from importlib.resources import files

    assert files("nbcluster").joinpath("py.typed").is_file()
