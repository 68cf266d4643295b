"""The exception tree: everything nbcluster raises on purpose.

::

    NBClusterError
    ├── UsageError              what was asked makes no sense; nothing was done
    │   ├── ConfigError         a setting, option or URL
    │   ├── InputError          the items, the split or the cell's text
    │   │   ├── FileNotSeen     a file of the input that this process cannot see or read
    │   │   └── FileChanged     a file of the input that is not what was split
    │   ├── PayloadError        a function, argument or result that cannot travel
    │   │   ├── CannotPickle
    │   │   ├── TooLarge
    │   │   ├── ValueNotStored  a large value found no place where large values travel
    │   │   └── ValueLost       a large value is not there any more, or not to be reached from here
    │   └── UnknownJob
    ├── DatabaseError           the meeting place
    │   ├── DatabaseUnreachable (exit code 3)
    │   ├── LoginRefused        (exit code 3)
    │   └── SchemaError         (exit code 4)
    │       ├── SchemaMissing
    │       ├── SchemaTooOld
    │       └── SchemaTooNew
    ├── SignatureError          a stored payload that nobody with our key wrote
    ├── NodeError               local nodes that do not start or stop
    └── JobError
        ├── JobFailed           the job ended FAILED
        ├── JobStopped          the job was cancelled
        ├── WaitTimeout         the job goes on; only the waiting ended
        └── PartitionError      one item or partition, with its remote traceback

The docstring of a class is its message when none is given.  Foreign errors are
translated at one door (``store.engine``, ``payload``) and kept as ``__cause__``.
"""

from __future__ import annotations


class NBClusterError(Exception):
    """nbcluster could not do what was asked."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n")[0])


class UsageError(NBClusterError):
    """This input makes no sense."""

    exit_code = 2


class ConfigError(UsageError, ValueError):
    """A setting has an impossible value."""


class InputError(UsageError, ValueError):
    """The input cannot be fanned out."""


class FileNotSeen(InputError):
    """A file of the input cannot be seen from here."""


class FileChanged(InputError):
    """A file of the input has changed since it was split."""


class PayloadError(UsageError):
    """Something cannot travel to a node or back."""


class CannotPickle(PayloadError, TypeError):
    """An object cannot be pickled."""


class TooLarge(PayloadError, ValueError):
    """A captured object, argument or result is above its limit."""


class ValueNotStored(PayloadError):
    """A large value cannot be written where large values travel."""


class ValueLost(PayloadError):
    """A large value cannot be read from where it was stored."""


class UnknownJob(UsageError, LookupError):
    """There is no such job."""


class DatabaseError(NBClusterError):
    """The database refused a statement."""


class DatabaseUnreachable(DatabaseError, ConnectionError):
    """The database cannot be reached."""

    exit_code = 3


class LoginRefused(DatabaseUnreachable):
    """The database refused the user or the password."""


class SchemaError(DatabaseError):
    """The database's tables do not fit this version of nbcluster."""

    exit_code = 4


class SchemaMissing(SchemaError):
    """The database has no nbcluster tables."""


class SchemaTooOld(SchemaError):
    """The database's tables were made by an older nbcluster: "nbcluster init" upgrades them."""


class SchemaTooNew(SchemaError):
    """The database's tables were made by a newer nbcluster."""


class SignatureError(NBClusterError):
    """A stored payload is not signed with this cluster's key."""


class NodeError(NBClusterError):
    """A local node did not start or stop."""


class JobError(NBClusterError):
    """A job did not give what was asked of it."""


class JobFailed(JobError):
    """The job failed."""


class JobStopped(JobError):
    """The job was stopped before it was complete."""


class WaitTimeout(JobError, TimeoutError):
    """The job is still running."""


class PartitionError(JobError):
    """One item failed on a node; the message carries the remote traceback.

    ``index`` is the item's position in the input, ``partition`` its partition,
    ``error_type`` the remote class name, ``remote_traceback`` its text.
    """

    def __init__(
        self,
        message: str = "",
        *,
        index: int | None = None,
        partition: int | None = None,
        node: str | None = None,
        attempt: int | None = None,
        error_type: str = "",
        remote_traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.index = index
        self.partition = partition
        self.node = node
        self.attempt = attempt
        self.error_type = error_type
        self.remote_traceback = remote_traceback

    def __str__(self) -> str:
        text = str(self.args[0]) if self.args else ""
        if self.remote_traceback:
            return f"{text}\n\nOn the node:\n{self.remote_traceback.rstrip()}"
        return text
