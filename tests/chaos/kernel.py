"""A kernel in a process of its own, to be killed: ``python -m tests.chaos.kernel '<json>'``.

Says ``I am <node id>``, ``submitting``, ``submitted <job id>`` and ``ended <state>``.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle

import nbcluster as nb
from tests.chaos import workload


def say(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cloudpickle.register_pickle_by_value(workload)
    asked: dict[str, Any] = json.loads(sys.argv[1])
    name = asked["name"]
    with nb.connect() as cluster:
        say(f"I am {cluster.node_id}")
        gate = Path(asked["gate"]) if asked.get("gate") else None
        body = workload.square(asked.get("seconds", 0.0), gate)
        function = workload.noting(Path(asked["effects"]), name, "map", body)
        say("submitting")
        job = cluster.map(function, range(asked["partitions"]), chunk=1, name=name, **asked.get("options", {}))
        say(f"submitted {job.id}")
        if asked.get("stay", True):
            job.wait()
            say(f"ended {job.state}")
        time.sleep(asked.get("linger", 0.0))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
