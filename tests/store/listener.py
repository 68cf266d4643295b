"""A process that listens: ``python -m tests.store.listener URL TOPIC`` says whenever it is woken."""

from __future__ import annotations

import sys
import threading

from nbcluster.store import open_store
from nbcluster.store.wakeup import node_topic
from tests.builders import a_new_node
from tests.waiting import wait_until

MARKER = "nbcluster_marker"


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main(url: str, topic: str, node_id: str = "") -> None:
    store = open_store(url)
    if node_id:
        store.presence.hold(node_id)
        wait_until(lambda: store.presence.holding, message="the sign of life")
        store.nodes.register(a_new_node(node_id), watched=True)
    store.wakeup.subscribe(topic, lambda: say("woken"))
    store.wakeup.subscribe(MARKER, lambda: say("marker"))
    if node_id:
        store.wakeup.subscribe(node_topic(node_id), lambda: say("woken"))
    say("open")
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
