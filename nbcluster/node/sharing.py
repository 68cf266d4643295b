"""Brings shared values to this node, each once, and tells its children where they lie."""

from __future__ import annotations

import logging
import os
import threading
from collections import defaultdict
from functools import partial

from nbcluster.errors import DatabaseError, NBClusterError, ValueLost
from nbcluster.node.calls import Need
from nbcluster.node.executor import Executor
from nbcluster.node.porter import Porter
from nbcluster.sharing import deleted
from nbcluster.store import Store
from nbcluster.store.shared import sealed

log = logging.getLogger(__name__)

_UNREACHABLE = 3


class Sharing:
    """The shared values that are on this node.  The porter's threads carry them: the worker never waits."""

    def __init__(self, store: Store, executor: Executor, porter: Porter) -> None:
        self._store = store
        self._executor = executor
        self._porter = porter
        self._files: dict[str, os.PathLike[str]] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def collect(self) -> None:
        """Have somebody see to it that children get what they wait for."""
        for need in self._executor.take_needs():
            self._porter.carry(partial(self._serve, need))

    def _serve(self, need: Need) -> None:
        """Answer one child.  Raises DatabaseError while the database is away: the porter tries again."""
        try:
            path = os.fspath(self._file(need.shared_id))
        except DatabaseError as error:
            if error.exit_code == _UNREACHABLE:
                raise
            self._executor.answer(need, str(error))
        except OSError as error:
            self._executor.answer(need, f"no room for a shared value on this node: {error.strerror}")
        except Exception as error:  # whatever it is, somebody waits for an answer
            if not isinstance(error, NBClusterError):
                log.exception("a shared value could not be brought here")
            self._executor.answer(need, str(error) or type(error).__name__)
        else:
            self._executor.answer(need, path=path)

    def _file(self, shared_id: str) -> os.PathLike[str]:
        row = self._store.shared.find(shared_id)
        if row is None:
            self._files.pop(shared_id, None)
            raise ValueLost(deleted(f"the shared value {shared_id[:8]}"))
        with self._locks[shared_id]:  # who comes second waits for the first, and finds it here
            if shared_id not in self._files:
                self._forget_deleted()
                self._files[shared_id] = self._store.transport.bring(sealed(self._store.signer, row))
                log.info("the shared value %s is here (%d bytes)", shared_id[:8], row.size)
            return self._files[shared_id]

    def _forget_deleted(self) -> None:
        """Drop the files of what was deleted meanwhile; children that have them open keep them."""
        known = list(self._files)
        for gone in set(known) - self._store.shared.existing(known):
            self._files.pop(gone, None)
