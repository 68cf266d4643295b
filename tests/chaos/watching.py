"""While jobs run: does anything stay CLAIMED by a living node that does not run it?"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from tests.chaos.history import Idle
from tests.chaos.reading import read_notes

if TYPE_CHECKING:
    from tests.chaos.harness import ChaosLab

_CLAIMED = (
    "SELECT p.step_execution_id, p.attempt, p.assigned_node, p.partition_index, s.step_name, i.job_name "
    "FROM batch_partitions p JOIN batch_step_execution s ON s.step_execution_id = p.master_step_execution_id "
    "JOIN batch_job_execution e ON e.job_execution_id = p.job_execution_id "
    "JOIN batch_job_instance i ON i.job_instance_id = e.job_instance_id "
    "WHERE p.status = 'CLAIMED'"
)
_EVERY = 1.0
_CALM = 10.0
"""Seconds after a harm before a node's claims are looked at again."""


class IdleWatch:
    """Looks once a second at what is CLAIMED and has not begun; harmed nodes are left out."""

    def __init__(self, lab: ChaosLab) -> None:
        self._lab = lab
        self._since: dict[tuple[int, int, str], float] = {}
        self._longest: dict[tuple[int, int, str], float] = {}
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._end.clear()
        self._thread = threading.Thread(target=self._loop, name="chaos-idle-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join(30)
            self._thread = None

    def found(self) -> list[Idle]:
        return [Idle(*key, seconds) for key, seconds in self._longest.items()]

    def _loop(self) -> None:
        while not self._end.wait(_EVERY):
            try:
                self._look()
            except DBAPIError:  # the database is away: nobody can be blamed
                self._since.clear()

    def _look(self) -> None:
        now = time.time()
        if any(not s.victims and (s.end is None or now - s.end < _CALM) for s in self._lab.strikes):
            self._since.clear()  # a harm to everybody
            return
        claimed = self._lab.tables.rows(_CLAIMED)
        if not claimed:
            self._since.clear()
            return
        begun = {(n.job, n.step, n.index, n.attempt) for n in read_notes(self._lab.effects) if n.event == "BEGIN"}
        untroubled = self._untroubled(now)
        waiting = {
            (row[0], row[1], row[2])
            for row in claimed
            if row[2] in untroubled and (row[5], row[4], row[3], row[1]) not in begun
        }
        self._since = {key: self._since.get(key, now) for key in waiting}
        for key, since in self._since.items():
            self._longest[key] = max(self._longest.get(key, 0.0), now - since)

    def _untroubled(self, now: float) -> set[str]:
        """Nodes that run and to which nothing was done for a while."""
        recent = [s for s in self._lab.strikes if s.end is None or now - s.end < _CALM]
        troubled: set[Any] = {victim.pid for strike in recent for victim in strike.victims}
        return {one for node in self._lab.nodes if node.running and node.pid not in troubled for one in node.ids}
