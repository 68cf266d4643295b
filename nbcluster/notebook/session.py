"""What the magics share: the shell, the cluster that this kernel is connected to, and the names they bind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbcluster.api import Cluster
    from nbcluster.handle import JobHandle

LAST_JOB = "_job"


def say(text: str) -> None:
    """A magic's answer.  Only from the cell's own thread: what another prints lands in whichever cell is running."""
    print(text)  # noqa: T201 -- a magic speaks in its cell's output


@dataclass
class Session:
    """One notebook's connection; opened when first needed."""

    shell: Any
    url: str = ""
    connected: Cluster | None = field(default=None, init=False)

    @property
    def namespace(self) -> dict[str, Any]:
        """The notebook's names."""
        space: dict[str, Any] = self.shell.user_ns
        return space

    @property
    def cluster(self) -> Cluster:
        """The connected cluster; connects to the configured database when there is none yet."""
        return self.connected or self.connect(None)

    def connect(self, url: str | None) -> Cluster:
        """Choose the database: ``url``, else that of ``%config NBCluster.url``, else of the environment and files."""
        from nbcluster.api import connect

        cluster = connect(url or self.url or None)
        self.close()
        self.connected = cluster
        return cluster

    def close(self) -> None:
        """Leave the database; jobs go on."""
        if self.connected is not None:
            self.connected.close()
            self.connected = None

    def bind(self, handle: Any, name: str | None) -> str:
        """Give the handle its names in the notebook; returns the one to speak of."""
        names = [LAST_JOB] if name is None else [LAST_JOB, name]
        self.shell.push(dict.fromkeys(names, handle))
        return names[-1]

    def free_name(self, handle: JobHandle) -> str | None:
        """The job's own name as a variable, unless something else than a job is called so."""
        from nbcluster.handle import JobHandle

        if not handle.name.isidentifier():
            return None
        taken = self.namespace.get(handle.name)
        return handle.name if taken is None or isinstance(taken, JobHandle) else None

    def way(self, progress: str, quiet: bool = False) -> str:
        """How jobs are to be shown: the option, else the setting."""
        if quiet:
            return "none"
        return self.cluster.settings.display if progress == "auto" else progress
