"""Who does harm: each act is put on record, so that the checker can tell harm from error."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

from tests.chaos.harness import BOTH, CRASH, ChaosLab, Process
from tests.chaos.network import Link
from tests.cluster.nodes import NodeProcess
from tests.waiting import wait_until


class Nemesis:
    """Acts of harm in one lab; what is random comes from the lab's seed."""

    def __init__(self, lab: ChaosLab) -> None:
        self.lab = lab
        self.random = lab.random

    # --- processes -----------------------------------------------------------------------

    def kill(self, *victims: Process) -> None:
        """Kill -9, all of them at once."""
        strike = self.lab.strike("kill", *victims, excuses=BOTH)
        for victim in victims:
            victim.send(signal.SIGKILL)
        for victim in victims:
            victim.process.wait(10)
            if isinstance(victim, NodeProcess):
                self.lab.gone(victim)
        assert strike.end is None  # a dead process stays dead

    def stop(self, victim: NodeProcess) -> None:
        """SIGTERM: it hands its work back and leaves."""
        self.lab.strike("stop", victim, excuses=BOTH)
        victim.send(signal.SIGTERM)
        self.lab.gone(victim)

    def freeze(self, victim: Process, seconds: float, *, family: bool = False) -> None:
        """SIGSTOP, and after so many seconds SIGCONT."""
        with self.frozen(victim, family=family):
            time.sleep(seconds)

    @contextlib.contextmanager
    def frozen(self, victim: Process, *, family: bool = False):  # type: ignore[no-untyped-def]
        with self.lab.striking("freeze", victim):
            victim.freeze(family=family)
            try:
                yield
            finally:
                victim.thaw()

    def kill_a_child(self, victim: NodeProcess, number: int = signal.SIGKILL) -> int | None:
        """A signal to one of a node's children; gives its pid."""
        children = sorted(victim.children())
        if not children:
            return None
        with self.lab.striking("kill a child", victim, excuses=CRASH):
            chosen = self.random.choice(children)
            self.signal(chosen, number)
        return chosen

    @staticmethod
    def signal(pid: int, number: int = signal.SIGKILL) -> None:
        """A signal to a process that may be gone already."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    # --- the database ------------------------------------------------------------------------

    @contextlib.contextmanager
    def without_database(self, how: str = "fast"):  # type: ignore[no-untyped-def]
        """PostgreSQL is stopped (fast, immediate, kill) and started again.  A harm that excuses nobody's loss."""
        server = self.lab.server
        assert server is not None
        with self.lab.striking(f"stop PostgreSQL ({how})", excuses=frozenset()):
            server.stop(how)
            try:
                yield
            finally:
                server.start()

    @contextlib.contextmanager
    def frozen_database(self):  # type: ignore[no-untyped-def]
        server = self.lab.server
        assert server is not None
        with self.lab.striking("freeze PostgreSQL", excuses=frozenset()):
            server.freeze()
            try:
                yield
            finally:
                server.thaw()

    # --- the network --------------------------------------------------------------------------

    def cut(self, link: Link, victim: Process, seconds: float) -> None:
        """Its connections are reset, and new ones refused."""
        with self.lab.striking("cut", victim):
            link.cut()
            time.sleep(seconds)
            link.restore()

    def black_hole(self, link: Link, victim: Process, seconds: float) -> None:
        """Nothing passes, and nothing is reset."""
        with self.lab.striking("black hole", victim, aftermath=20.0):
            link.black_hole()
            time.sleep(seconds)
            link.restore()

    # --- again and again --------------------------------------------------------------------------

    @contextlib.contextmanager
    def every(self, seconds: float, act: Callable[[], None]):  # type: ignore[no-untyped-def]
        """``act()`` every so many seconds, from a thread of its own, until the block ends."""
        over = threading.Event()
        failed: list[BaseException] = []

        def acting() -> None:
            while not over.wait(seconds):
                try:
                    act()
                except BaseException as error:  # noqa: BLE001 -- told below
                    failed.append(error)
                    return

        thread = threading.Thread(target=acting, name="chaos-nemesis", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(60)
        if failed:
            raise failed[0]

    def replace(self, victim: NodeProcess, **options: object) -> NodeProcess:
        """Kill a node; another one takes its place at once."""
        self.kill(victim)
        return self.lab.start_node(**options)  # type: ignore[arg-type]

    def random_node(self) -> NodeProcess:
        """One of those that serve: the id of a node that is still starting is not known, nor would it lose much."""
        ready = wait_until(lambda: [node for node in self.lab.nodes if node.ids], 60, "a node that serves")
        return self.random.choice(ready)
