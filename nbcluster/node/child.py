"""What runs in a child process: one partition at a time, bytes in, outcome out.

Started by the node with a socket as its only link.  It knows no database, no
key and no settings; what it needs for a partition comes with the call.  What user
code prints goes to a pipe that the node reads, so it survives the child.
"""

from __future__ import annotations

import array
import contextlib
import io
import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

from nbcluster import payload
from nbcluster.depot.spool import mapped, whole
from nbcluster.errors import FileChanged, FileNotSeen
from nbcluster.errortext import base_names, cure, cut, describe, summary
from nbcluster.node import calling, wire
from nbcluster.node.board import Board
from nbcluster.node.interrupt import Interrupt
from nbcluster.node.line import ChildLine, Link
from nbcluster.running import Current, Line, set_current

_T = TypeVar("_T")
_PEAK_UNIT = 1 if sys.platform == "darwin" else 1024
_FULL_TRACEBACKS = 20
"""Item errors beyond this many keep type and message only: a thousand equal tracebacks tell nothing new."""
_TYPES_TOLD = 100
"""Different types of exceptions that the node is told of."""
TOO_LARGE = "RESULT_TOO_LARGE"
_OURS = (__name__, calling.__name__)
"""Modules whose frames are left out at the beginning of a traceback."""


def main(descriptor: int, board_descriptor: int, parent: int) -> None:
    """Serve calls from the socket until it closes."""
    _die_with(parent)
    interrupt, board = Interrupt(), Board(board_descriptor)
    os.close(board_descriptor)
    link = Link(socket.socket(fileno=descriptor), interrupt)
    loaded = _Loaded()
    home = os.getcwd()
    _open_streams()
    link.send({"type": wire.READY})
    for head, blobs in link.frames():
        if head["type"] in (wire.MODULES, wire.FUNCTION):
            loaded.take(head, _opened(head, blobs)[0], head.get("files", {}).get("0"))
            continue
        me = os.getpid()
        saved = blobs.pop() if head["saved"] else None
        line = ChildLine(link, board, interrupt, head["call"], head["max_result"], saved)
        reply, parts = _run(head, blobs, loaded.function(head["function"]), interrupt, line)
        if os.getpid() != me:
            os._exit(reply["exit_code"] != "COMPLETED")  # user code forked and came back twice: one answers
        line.ended = True
        _clean_up(home, interrupt)
        link.send(reply, parts)


def _die_with(parent: int) -> None:
    """End when the node's process ends, even while user code holds the interpreter."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(0)


class _Loaded:
    """The functions that this child has, each with the modules that came with it."""

    def __init__(self) -> None:
        self._bundles: dict[str, payload.Bundle] = {}
        self._functions: dict[str, tuple[payload.Shipped | str, payload.Bundle | None]] = {}

    def take(self, head: dict[str, Any], body: payload.Body, file: str | None) -> None:
        """Keep what the node sent, or left in a file."""
        if head["type"] == wire.MODULES:
            _keep(self._bundles, head["id"], payload.unpack_modules(bytes(body), file))
            return
        bundle = self._bundles[head["modules"]] if head["modules"] is not None else None
        payload.use(bundle)
        _keep(self._functions, head["id"], (_load_function(body), bundle))

    def function(self, name: str) -> payload.Shipped | str:
        """A function; from now on imports find the modules that came with it."""
        function, bundle = self._functions[name]
        payload.use(bundle)
        return function


def _keep(known: dict[str, _T], name: str, one: _T) -> None:
    """Keep one more; the oldest goes, as the node expects."""
    while len(known) >= wire.KEPT_FUNCTIONS:
        known.pop(next(iter(known)))
    known[name] = one


def _load_function(body: payload.Body) -> payload.Shipped | str:
    """The function, or why it cannot be rebuilt here: every partition will say so."""
    try:
        shipped: payload.Shipped = payload.load(body)
        payload.install_sources(shipped.sources)
    except BaseException as error:
        return f"the function cannot be rebuilt on this node: {summary(error)}{cure(error)}"
    return shipped


def _opened(head: dict[str, Any], blobs: list[bytes]) -> list[payload.Body]:
    """The blobs of a frame, those that lie in files mapped."""
    files = head.get("files", {})
    return [mapped(files[str(place)]) if str(place) in files else blob for place, blob in enumerate(blobs)]


def _run(
    head: dict[str, Any],
    blobs: list[bytes],
    shipped: payload.Shipped | str,
    interrupt: Interrupt,
    line: Line | None = None,
) -> tuple[dict[str, Any], list[bytes]]:
    """One partition, as an outcome frame."""
    began = time.monotonic()
    set_current(Current(**head["current"]), line)
    run = _Run(head["mode"])
    given = _opened(head, blobs)
    inputs, kept = given[: head["inputs"]], given[head["inputs"] :]
    del given
    with payload.in_place({} if isinstance(shipped, str) else shipped.modules):
        try:
            if isinstance(shipped, str):
                run.fail_all(shipped, head["items"])
            else:
                run.go_on_from(kept)
                run.call(shipped.function, inputs, head["items"], interrupt)
                if shipped.into is not None:
                    run.make_rows(shipped.into, head)
        finally:
            interrupt.armed = False
            set_current(None)
        outcome, parts = run.outcome(head["max_result"], head.get("room"), head.get("large", 0))
    if line is not None and len(line.connection):
        _add_statements(outcome, parts, line.connection.close())
    outcome |= {
        "type": wire.OUTCOME,
        "call": head["call"],
        "seconds": time.monotonic() - began,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _PEAK_UNIT,
    }
    return outcome, parts


def _add_statements(outcome: dict[str, Any], parts: list[bytes], statements: bytes) -> None:
    """What the function gave to its connection: for the node, or a reason to compute all items again."""
    if outcome["exit_code"] == "COMPLETED":
        outcome["statements"] = True
        parts.append(statements)
    else:
        outcome["again"] = True


class _Run:
    """The values, errors and times of one partition's items."""

    def __init__(self, mode: str) -> None:
        self._mode = mode
        self._values: list[Any] = []
        self._errors: list[dict[str, Any]] = []
        self._seconds = array.array("d")
        self._exit_code = "COMPLETED"
        self._kept: dict[int, tuple[Any, float]] = {}
        self._raised: dict[str, list[str]] = {}
        self._rows: Any = None

    def go_on_from(self, kept: list[payload.Body]) -> None:
        """Keep the good items of an earlier attempt: values, errors and seconds as that one sent them."""
        if not kept:
            return
        try:
            values = payload.load(kept[0])
        except BaseException:  # what cannot be rebuilt here is computed again
            return
        failed = {error["item"] for error in json.loads(bytes(kept[1]))}
        timed = enumerate(zip(values, array.array("d", bytes(kept[2])), strict=True))
        self._kept = {place: one for place, one in timed if place not in failed}

    def fail_all(self, message: str, items: int, error: BaseException | None = None) -> None:
        """Every item fails for the same reason: ``error``, or that something could not be rebuilt."""
        self._exit_code = "FAILED"
        names = ["PayloadError", "Exception"] if error is None else base_names(error)
        self._raised = {names[0]: names}
        count = 1 if calling.single(self._mode) else items
        self._values = [None] * count
        self._seconds = array.array("d", [0.0] * count)
        self._errors = [
            {"item": place, "type": names[0], "message": message, "traceback": ""} for place in range(count)
        ]

    def call(self, function: Callable[..., Any], blobs: list[payload.Body], items: int, interrupt: Interrupt) -> None:
        """Call the function for each item (or once), keeping values and errors."""
        try:
            function, calls = calling.calls_for(self._mode, function, blobs)
        except (FileNotSeen, FileChanged) as error:
            self.fail_all(str(error), items, error)
            return
        except BaseException as error:
            self.fail_all(f"the arguments cannot be rebuilt on this node: {summary(error)}{cure(error)}", items)
            return
        try:
            interrupt.arm()
            for place, positional in enumerate(calls):
                if place in self._kept:
                    self._add(*self._kept[place])
                else:
                    self._one(place, function, positional, interrupt)
        except KeyboardInterrupt:
            self._exit_code = "CANCELLED"
        except Exception as error:
            self.fail_all(f"the items of this part cannot be read: {summary(error)}", items)
        finally:
            interrupt.armed = False

    def _one(self, place: int, function: Callable[..., Any], positional: Any, interrupt: Interrupt) -> None:
        began = time.perf_counter()
        try:
            value = function(*positional)
        except BaseException as error:  # sys.exit() in a cell is an error of that item, not of the node
            if interrupt.received and isinstance(error, KeyboardInterrupt):
                raise
            self._exit_code = "FAILED"
            value = None
            self._errors.append(describe(place, error, full=len(self._errors) < _FULL_TRACEBACKS, ours=_OURS))
            self._note_type(error)
        self._add(value, time.perf_counter() - began)

    def _add(self, value: Any, seconds: float) -> None:
        self._values.append(value)
        self._seconds.append(seconds)

    def _note_type(self, error: BaseException) -> None:
        names = base_names(error)
        if len(self._raised) < _TYPES_TOLD:
            self._raised.setdefault(names[0], names)

    def make_rows(self, into: Any, head: dict[str, Any]) -> None:
        """Make the values of a complete partition rows of its table; one that is not complete keeps its values."""
        from nbcluster.node.tabling import REFUSED, tabled

        if self._exit_code != "COMPLETED":
            return
        try:
            room, large = head.get("room"), head.get("large", 0)
            made = tabled(into, self._values, head["rows_form"], head["max_result"], room, large)
        except Exception as error:  # values are strangers' objects, and may raise whatever they like
            why = f"its rows cannot be read: {summary(error)}"
            self._refuse(dict.fromkeys(range(len(self._values)), why), "FAILED")
            return
        if made.complaints:
            self._refuse(made.complaints, REFUSED, "FAILED")
            if made.raised:
                self._raised[made.raised[0]] = list(made.raised)
        else:
            self._values, self._rows = list(made.counts), made.rows

    def outcome(self, max_result: int, room: str | None, large: int) -> tuple[dict[str, Any], list[bytes]]:
        """Head and blobs: values, errors as JSON, seconds.  Values above ``large`` bytes go to the file ``room``."""
        if self._exit_code == "CANCELLED":
            return {"exit_code": "CANCELLED", "message": "stopped", "failed": 0}, []
        body, bad = payload.pack_values(self._values, max_result)
        if bad:
            self._refuse(bad, "UNSERIALIZABLE")
            self._raised["UNSERIALIZABLE"] = ["UNSERIALIZABLE"]
        if body is None:
            body = self._without_the_largest(max_result)
        if body is None:
            return {"exit_code": TOO_LARGE, "message": _too_large(max_result), "failed": len(self._values)}, []
        first = self._errors[0] if self._errors else None
        head = {
            "exit_code": self._exit_code,
            "message": f"{first['type']}: {first['message']}"[:2000] if first else "",
            "failed": len(self._errors),
            "raised": list(self._raised.values()),
        }
        parts = [b"", json.dumps(self._errors).encode(), self._seconds.tobytes()]
        if self._rows is not None:
            head["rows"] = {"columns": self._rows.columns, "count": self._rows.count, "filed": self._rows.filed}
            parts.append(self._rows.body)
            room = None if self._rows.filed is not None else room
        if room is None or body.size <= large:
            return head, [body.body(), *parts[1:]]
        try:
            return head | {"file": _left(body, room)}, parts
        except OSError as error:
            return {"exit_code": "FAILED", "message": _no_room(body, room, error), "failed": len(self._values)}, []

    def _refuse(self, places: dict[int, str], kind: str, exit_code: str = "") -> None:
        """These items have values that cannot travel, each for its own reason."""
        self._exit_code = exit_code or kind
        known = {int(error["item"]) for error in self._errors}
        self._errors += [
            {"item": place, "type": kind, "message": cut(why), "traceback": ""}
            for place, why in places.items()
            if place not in known
        ]
        self._errors.sort(key=lambda error: int(error["item"]))

    def _without_the_largest(self, max_result: int) -> payload.Packed | None:
        """The values without those that are too large by themselves; None when nothing good is left, or too much."""
        large = payload.too_large(self._values, max_result)
        if not large or len(large) == len(self._values):
            return None
        kept = [None if place in large else value for place, value in enumerate(self._values)]
        body, bad = payload.pack_values(kept, max_result)
        if body is not None:
            self._refuse(bad, "UNSERIALIZABLE")
            self._refuse(dict.fromkeys(large, _too_large(max_result)), TOO_LARGE)
        return body


def _left(body: payload.Packed, room: str) -> dict[str, Any]:
    """Write values where the node finds them; nothing stays there when that fails."""
    with open(os.open(room, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", buffering=0) as file:
        try:
            digest = body.write(whole(file))
        except BaseException:
            os.unlink(room)
            raise
    return {"size": body.size, "sha256": digest.hex()}


def _no_room(body: payload.Packed, room: str, error: OSError) -> str:
    return (
        f"the result ({payload.format_size(body.size)}) cannot be written to {os.path.dirname(room)}: "
        f"{error.strerror}; make room there, or return less"
    )


def _too_large(max_result: int) -> str:
    return (
        f"the result is larger than max_result ({payload.format_size(max_result)}); "
        "write it to a file and return its path, or raise max_result"
    )


def _open_streams() -> None:
    """Standard output and error anew; what user code closes leaves the descriptors behind them open."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        raw = io.FileIO(descriptor, "wb", closefd=False)
        # Unbuffered: the last words of a child that dies are the ones that matter.
        stream = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _clean_up(home: str, interrupt: Interrupt) -> None:
    """Leave the process to the next partition as this one found it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # user code may have closed it, or put anything in its place
            stream.flush()
    _open_streams()
    interrupt.restore()
    os.chdir(home)  # without asking where it is: that folder may be gone
