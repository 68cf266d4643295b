"""What running functions tell meanwhile: what they save, and how far they are.  Both go to the database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from nbcluster.errors import DatabaseError
from nbcluster.node.calls import Save
from nbcluster.node.executor import Executor
from nbcluster.records import Claim
from nbcluster.store import Store
from nbcluster.store.partitions import checkpoints

log = logging.getLogger(__name__)

PROGRESS_EVERY = 1.0
"""Seconds between two writes of how far the running partitions are."""

_MOVED = "this partition belongs to another node by now; what this attempt computes is dropped"


class Reporting:
    """Writes what the children of one node tell.  ``holds`` says whether a claim is still this node's."""

    def __init__(self, store: Store, executor: Executor, holds: Callable[[Claim], bool]) -> None:
        self._store = store
        self._executor = executor
        self._holds = holds
        self._unsaved: list[Save] = []
        self._told: dict[tuple[int, int], tuple[float, str]] = {}
        self._next_progress = 0.0

    # --- checkpoints --------------------------------------------------------------

    def collect(self) -> None:
        """Take what is to be saved.  It is kept here until the database took or refused it."""
        self._unsaved += self._executor.take_saves()

    def save(self) -> None:
        """Store what was collected, and tell the functions that wait for it."""
        if not self._unsaved:
            return
        held = [save for save in self._unsaved if self._holds(save.claim)]
        complaints = dict(zip(map(id, held), self._store_all(held), strict=True))
        for save in self._unsaved:
            self._executor.answer(save, complaints.get(id(save), _MOVED))
        self._unsaved = []

    def _store_all(self, saves: list[Save]) -> list[str]:
        """Store these; gives a complaint for each, empty when all went well."""
        try:
            return self._store_together(saves)
        except DatabaseError as error:
            if error.exit_code == 3:
                raise
        # One bad row must not spoil the others.
        complaints: list[str] = []
        for save in saves:
            try:
                complaints += self._store_together([save])
            except DatabaseError as error:
                if error.exit_code == 3:
                    raise
                complaints.append(f"the checkpoint could not be stored: {error}")
        return complaints

    def _store_together(self, saves: list[Save]) -> list[str]:
        if not saves:
            return []
        signer = self._store.signer
        signed = [(s.claim, checkpoints.sign(signer, s.claim, checkpoints.USER, s.body)) for s in saves]
        return ["" if mine else _MOVED for mine in self._store.checkpoints.save(signed)]

    # --- progress -----------------------------------------------------------------

    @property
    def pause(self) -> float:
        """Seconds until progress is due again."""
        return max(0.0, self._next_progress - time.monotonic())

    def progress(self) -> None:
        """Write how far the running partitions are, if that has changed, once a second at most."""
        now = time.monotonic()
        if now < self._next_progress:
            return
        self._next_progress = now + PROGRESS_EVERY
        told = self._executor.progress()
        news = [one for one in told if self._told.get(_attempt(one[0])) != one[1:]]
        if news:
            self._store.reports.write(news)
            self._told = {_attempt(one[0]): one[1:] for one in told}


def _attempt(claim: Claim) -> tuple[int, int]:
    return claim.partition_id, claim.attempt
