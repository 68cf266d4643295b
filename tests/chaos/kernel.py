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


def at(asked: dict[str, Any], name: str) -> Path | None:
    return Path(asked[name]) if asked.get(name) else None


def told(asked: dict[str, Any], step: str, body: Any) -> Any:
    return workload.noting(Path(asked["effects"]), asked["name"], step, body)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    cloudpickle.register_pickle_by_value(workload)
    asked: dict[str, Any] = json.loads(sys.argv[1])
    name = asked["name"]
    with nb.connect() as cluster:
        say(f"I am {cluster.node_id}")
        function = told(asked, "map", workload.square(asked.get("seconds", 0.0), at(asked, "gate")))
        options: dict[str, Any] = asked.get("options", {})
        if asked.get("after"):
            options["aggregate"] = told(asked, "aggregate", workload.summed(at(asked, "aggregate_gate")))
            options["on_success"] = told(asked, "on_success", workload.called_back(at(asked, "callback_gate")))
        say("submitting")
        job = cluster.map(function, range(asked["partitions"]), chunk=1, name=name, **options)
        say(f"submitted {job.id}")
        if asked.get("stay", True):
            job.wait()
            say(f"ended {job.state}")
        time.sleep(asked.get("linger", 0.0))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
