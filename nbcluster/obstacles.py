"""Why a job does not move, in sentences that say what to do.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nbcluster.labels import HOST, NODE, fits, label_for, labels_of, missing
from nbcluster.lifecycle import NodeStatus
from nbcluster.records import Node, Progress


def obstacles(
    progress: Progress,
    nodes: Sequence[Node],
    python: str,
    url: str,
    silent_after: float,
    require: Sequence[str] = (),
) -> tuple[str, ...]:
    """Why nothing moves, in sentences; empty when all is well.

    ``require`` are the labels that a node must have for what waits.
    """
    if not progress.open or progress.status.value != "STARTED":
        return ()
    return standing(progress.open, nodes, python, url, silent_after, require)


def standing(
    waiting: int, nodes: Sequence[Node], python: str, url: str, silent_after: float, require: Sequence[str] = ()
) -> tuple[str, ...]:
    """The same for ``waiting`` partitions of a step that is started."""
    workers = [node for node in nodes if node.slots]
    alive = [node for node in workers if is_alive(node, silent_after)]
    if not alive:
        options = "".join(f" {word}" for word in _options(require))
        start = (
            "No node is alive. Start one here: %nbcluster up 2, or on any machine: "
            f"nbcluster-node --url '{url}'{options}"
        )
        if workers:
            youngest = min(node.heartbeat_age for node in workers)
            start += f" ({waiting} partitions wait; the last heartbeat was {youngest:.0f} s ago)"
        return (start,)
    return tuple(_unfit(alive, python, require))


def is_alive(node: Node, silent_after: float) -> bool:
    """Whether a node takes work: it is ACTIVE, and was heard of in time."""
    return node.status is NodeStatus.ACTIVE and node.heartbeat_age <= silent_after


def somebody_can_run(nodes: Iterable[Node], python: str, silent_after: float, require: Sequence[str]) -> bool:
    """Whether a live node is fit for a step; a step that waits then waits for its turn."""
    return any(
        node.slots and is_alive(node, silent_after) and node.python == python and fits(require, _labels(node))
        for node in nodes
    )


def _unfit(alive: Sequence[Node], python: str, require: Sequence[str]) -> Iterable[str]:
    strangers = [node for node in alive if node.python != python]
    for node in strangers:
        yield f"Node {node.node_id} runs Python {node.python}, this job needs {python}: it stays idle for it"
    same = [node for node in alive if node.python == python]
    if any(fits(require, _labels(node)) for node in same):
        return
    if any(fits(require, _labels(node)) for node in strangers):
        yield f"No node can run this job: start one with Python {python}" + _with(_options(require))
    else:
        yield _lacking(same or strangers, require) + (f" under Python {python}" if not same else "")


def _lacking(nodes: Sequence[Node], require: Sequence[str]) -> str:
    """What these nodes miss: single requirements that none of them meets, or all of them together."""
    lacking = set(require).intersection(*(missing(require, _labels(node)) for node in nodes))
    named = [one for one in require if one in lacking] or list(require)
    together = "" if lacking or len(named) == 1 else " together"
    command = " ".join(["nbcluster-node", *_options(require)])
    hosts = [one.partition("=")[2] for one in require if one.startswith(f"{HOST}=")]
    place = f" on {hosts[0]}" if hosts else ""
    return f"No live node has {' and '.join(named)}{together}: start one with {command}{place}"


def _options(require: Iterable[str]) -> list[str]:
    """The options of a node that meets the requirements; its machine is nothing that an option can choose."""
    options = []
    for one in require:
        word, _, value = label_for(one).partition("=")
        if word == NODE:
            options.append(f"--node-id-prefix {value}")
        elif word != HOST:
            options.append(f"--label {label_for(one)}")
    return options


def _with(options: Sequence[str]) -> str:
    return f" and {' '.join(options)}" if options else ""


def _labels(node: Node) -> tuple[str, ...]:
    return labels_of(node.node_id, node.host, node.labels)
