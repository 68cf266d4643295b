"""Acting on a cluster: stop and go on with jobs, start and stop nodes."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from nbcluster.config import parse_count, parse_slots, usable_cores
from nbcluster.errors import InputError
from nbcluster.local import LocalNodes
from nbcluster.overseeing import Overseeing

if TYPE_CHECKING:
    from nbcluster.handle import JobHandle

# Settings that local nodes inherit from the kernel that starts them.
_PASSED_ON = (
    "heartbeat_interval", "unreachable_node_threshold", "node_cleanup_threshold", "task_polling_interval", "key_file",
)  # fmt: skip


class Steering(Overseeing):
    """What a cluster is told to do with jobs and nodes that are there."""

    _local: LocalNodes

    @abstractmethod
    def job(self, name_or_id: str | int) -> JobHandle:
        """The newest job of that name, or the one with that id.  Raises UnknownJob."""

    def cancel(self, job: str | int, now: bool = False) -> None:
        """Stop a job; what is finished stays.  With ``now`` what runs is killed at once."""
        self.job(job).cancel(now=now)

    def pause(self, job: str | int) -> None:
        """Let no more partitions of a job begin until ``resume``."""
        self.job(job).pause()

    def resume(self, job: str | int) -> JobHandle:
        """Let a paused job go on, or go on with a failed or stopped one in a new execution."""
        return self.job(job).resume()

    def retry(self, job: str | int, partition: int | None = None) -> JobHandle:
        """Run what failed of a job again, or one ``partition`` of it, in a new execution."""
        return self.job(job).retry(partition)

    def delete(self, job: str | int) -> None:
        """Delete a job that has ended, with everything of it but the rows that ``into=`` wrote."""
        self.job(job).delete()

    def drain(self, node: str) -> list[str]:
        """Let a node, by its id, or all of that name finish what they run and then leave; gives their ids.

        Raises InputError naming the nodes there are.
        """
        told = self.store.nodes.drain_named(str(node))
        if not told:
            known = ", ".join(sorted({f"{one.name} ({one.node_id})" for one in self.workers()}))
            raise InputError(f"there is no node {node!r}; " + (f"alive are {known}" if known else "no node is alive"))
        return told

    def up(self, nodes: int = 1, slots: int | None = None, timeout: float = 30.0) -> list[str]:
        """Start nodes on this machine and wait until they beat; gives their ids.

        ``slots`` of each: by default this machine's cores shared among them.  They go on
        when this kernel ends; ``down()`` stops them.
        """
        count = parse_count(nodes, "the number of nodes")
        share = parse_slots(slots) if slots is not None else max(1, usable_cores() // count)
        passed = {name: str(getattr(self.settings, name)) for name in _PASSED_ON if getattr(self.settings, name)}
        processes = self._local.start(count, share, passed)
        self._local.wait_until(processes, lambda: {node.pid for node in self.workers()}, timeout)
        started = {process.pid for process in processes}
        return [node.node_id for node in self.workers() if node.pid in started]

    def down(self, timeout: float = 10.0) -> int:
        """Stop the nodes that ``up`` started on this machine; gives how many."""
        return self._local.stop(timeout)
