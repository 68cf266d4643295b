from __future__ import annotations

import inspect
import pickle

import pytest

from nbcluster import errors
from nbcluster.errors import NBClusterError, PartitionError

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, Exception) and value.__module__ == errors.__name__
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_ours(kind: type[Exception]) -> None:
    assert issubclass(kind, NBClusterError)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_docstring_is_the_default_message(kind: type[NBClusterError]) -> None:
    assert kind.__doc__
    assert str(kind()) == kind.__doc__.split("\n")[0]
    assert str(kind("what happened")) == "what happened"


@pytest.mark.parametrize("kind", CLASSES)
def test_the_tree_in_the_module_names_every_error(kind: type[NBClusterError]) -> None:
    assert kind.__name__ in str(errors.__doc__)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_travels_between_processes(kind: type[NBClusterError]) -> None:
    again = pickle.loads(pickle.dumps(kind("what happened")))
    assert (type(again), str(again)) == (kind, "what happened")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.NBClusterError, 1),
        (errors.UsageError, 2),
        (errors.ConfigError, 2),
        (errors.UnknownJob, 2),
        (errors.DatabaseError, 1),
        (errors.DatabaseUnreachable, 3),
        (errors.LoginRefused, 3),
        (errors.SchemaMissing, 4),
        (errors.SchemaTooNew, 4),
        (errors.JobFailed, 1),
    ],
)
def test_the_exit_code_of_a_command_that_ends_with_it(kind: type[NBClusterError], code: int) -> None:
    assert kind.exit_code == code


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ConfigError, ValueError),
        (errors.InputError, ValueError),
        (errors.CannotPickle, TypeError),
        (errors.UnknownJob, LookupError),
        (errors.DatabaseUnreachable, ConnectionError),
        (errors.WaitTimeout, TimeoutError),
    ],
)
def test_who_catches_the_builtin_catches_ours(kind: type[NBClusterError], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


def test_a_partition_error_shows_the_remote_traceback() -> None:
    error = PartitionError("item 3: ValueError: bad date", remote_traceback="Traceback ...\nValueError: bad date\n")
    assert str(error) == "item 3: ValueError: bad date\n\nOn the node:\nTraceback ...\nValueError: bad date"


def test_a_partition_error_says_where_it_happened() -> None:
    error = PartitionError("bad", index=3, partition=1, node="a-1", attempt=2, error_type="ValueError")
    assert (error.index, error.partition, error.node, error.attempt) == (3, 1, "a-1", 2)
    assert error.error_type == "ValueError"
