"""Tab after the magics, and who is looking at a cell."""

from __future__ import annotations

from typing import Any

import pytest
from IPython.core.error import TryNext

from nbcluster.errors import DatabaseUnreachable
from nbcluster.notebook import front_end
from nbcluster.notebook.completion import candidates
from nbcluster.notebook.session import Session


class FakeCluster:
    def __init__(self, names: list[str] | None) -> None:
        self._names = names

    def job_names(self) -> list[str]:
        if self._names is None:
            raise DatabaseUnreachable
        return self._names

    def node_names(self) -> list[str]:
        if self._names is None:
            raise DatabaseUnreachable
        return ["alpha", "alpha-0123456789ab"]


def a_session(names: list[str] | None = None, connected: bool = True) -> Session:
    session = Session(shell=None)
    if connected:
        session.connected = FakeCluster(names)  # type: ignore[assignment]
    return session


@pytest.mark.parametrize(
    ("text", "some"),
    [
        ("%nbcluster ", {"up", "down", "attach", "help"}),
        ("%nbcluster a", {"attach"}),
        ("%%nbcluster ", {"map", "map_partitions", "submit", "local"}),
        ("%nbcluster up --", {"--slots"}),
        ("%%nbcluster map n in xs --", {"--out", "--strategy"}),
        ("%%nbcluster map n in xs -o r -", {"-p", "--name"}),
        ("%%nbcluster map n in xs --strategy ", {"round_robin", "fixed", "scale_up", "least_loaded"}),
        ("%%nbcluster map n in xs -q --on-error ", {"raise", "collect"}),
        ("%nbcluster help ", {"map", "up"}),
        ("%nbcluster attach ", {"collatz", '"two words"'}),
        ("%nbcluster resume -a c", {"collatz"}),
        ("%nbcluster resume -o again c", {"collatz"}),
        ("%nbcluster watch ", {"collatz", '"two words"'}),
        ("%nbcluster watch --progress ", {"widget", "text"}),
        ("%nbcluster error ", {"collatz"}),
        ("%nbcluster logs --tail 5 ", {"collatz"}),
        ("%nbcluster replay ", {"collatz"}),
        ("%nbcluster drain ", {"alpha", "alpha-0123456789ab"}),
        ("%nbcluster jobs --", {"--all", "--since"}),
        ("%nbcluster help ", {"watch", "doctor", "error", "replay"}),
    ],
)
def test_what_may_come_next(text: str, some: set[str]) -> None:
    assert some <= set(candidates(a_session(["collatz", "two words"]), text))


@pytest.mark.parametrize("text", ["%%nbcluster map n in ", "%%nbcluster map n in ran", "x", "%nbcluster"])
def test_python_completes_where_python_is_due(text: str) -> None:
    with pytest.raises(TryNext):
        candidates(a_session([]), text)


@pytest.mark.parametrize(
    "text",
    [
        "%nbcluster nonsense ",
        "%nbcluster attach collatz ",
        "%nbcluster up 2 ",
        "%nbcluster up ",
        "%nbcluster drain alpha ",
        "%nbcluster replay collatz ",
        "%nbcluster help map ",
        "%nbcluster jobs --since ",
    ],
)
def test_nothing_to_offer(text: str) -> None:
    assert candidates(a_session(["collatz"]), text) == []


def test_names_are_not_worth_a_connection_or_a_complaint() -> None:
    assert candidates(a_session(connected=False), "%nbcluster attach ") == []
    assert candidates(a_session(None), "%nbcluster attach ") == []
    assert candidates(a_session(None), "%nbcluster drain ") == []


class Kernel:
    """A shell in a kernel that runs a given request."""

    def __init__(self, message_id: str = "", **metadata: Any) -> None:
        self.kernel = object()
        self._request = {"header": {"msg_id": message_id}, "metadata": metadata}
        self.exit_now = False

    def get_parent(self) -> dict[str, Any]:
        return self._request


class Terminal:
    """A shell without a kernel."""


BROWSER = Kernel("7fe98935-d433-4d77-8e8a-be911964309f", cellId="1ba2900f")
OLD_BROWSER = Kernel("7fe98935-d433-4d77-8e8a-be911964309f")
PROGRAM = Kernel("ed60bf78-800a9ac6fc77df8749cbadd6_6886_2")
SERVER_SIDE = Kernel("ed60bf78-800a9ac6fc77df8749cbadd6_6886_2", cellId="1ba2900f")


@pytest.mark.parametrize(
    ("shell", "wanted", "way"),
    [
        (BROWSER, "auto", front_end.WIDGET),
        (OLD_BROWSER, "auto", front_end.WIDGET),
        (SERVER_SIDE, "auto", front_end.WIDGET),
        (PROGRAM, "auto", front_end.TEXT),
        (Kernel(), "auto", front_end.TEXT),
        (Terminal(), "auto", front_end.TEXT),
        (BROWSER, "html", front_end.HTML),
        (PROGRAM, "html", front_end.HTML_ONCE),
        (PROGRAM, "widget", front_end.WIDGET),
        (BROWSER, "text", front_end.TEXT),
        (Terminal(), "widget", front_end.TEXT),
        (BROWSER, "none", front_end.NONE),
        (Terminal(), "none", front_end.NONE),
    ],
)
def test_the_way_to_show_a_job(shell: Any, wanted: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert front_end.way_to_show(wanted, shell) == way


def test_a_terminal_gets_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert front_end.way_to_show("auto", Terminal()) == front_end.LINE


def test_without_ipywidgets_there_is_html(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_end, "find_spec", lambda name: None)
    assert front_end.way_to_show("auto", BROWSER) == front_end.HTML


def test_the_kernels_end_is_told_from_the_stop_button() -> None:
    ending = Kernel()
    ending.exit_now = True
    assert front_end.kernel_is_ending(ending)
    assert not front_end.kernel_is_ending(Kernel(), patience=0.01)
    assert not front_end.kernel_is_ending(Terminal())
