"""``--show`` prints Python that does what the magic does, and does nothing itself."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nbcluster.notebook.commands import COMMANDS
from nbcluster.notebook.declared import CELL, LINE
from tests.notebook.conftest import Notebook

pytestmark = pytest.mark.timeout(180, method="thread")

HELPERS = """
class Backwards:
    name = "backwards"
    def assign(self, partitions, candidates):
        from nbcluster.strategies import Assignment
        return Assignment(tuple(candidates[-1].node_id for _ in partitions))
def widest(values):
    return max(values)
def told(outcome):
    return outcome.status
factor = 3
pairs = [(1, (2, 3)), (4, (5, 6))]
"""


@pytest.fixture
def helped(notebook: Notebook) -> Notebook:
    notebook.good(HELPERS)
    return notebook


def shown(notebook: Notebook, cell: str) -> str:
    first, _, body = cell.partition("\n")
    return notebook.good(f"{first} --show" + (f"\n{body}" if body else "")).out


def carried_out(notebook: Notebook, text: str) -> dict[str, Any]:
    """The names that the printed text binds, run as a script among the notebook's other names."""
    names = dict(notebook.shell.user_ns)
    exec(compile(text, "<shown>", "exec", dont_inherit=True), names)
    return names


def node(notebook: Notebook) -> str:
    return str(notebook.good("%nbcluster nodes").value["node"][0]).rsplit("-", 1)[0]


OPTIONS = [
    "",
    "--name other",
    "-p 2",
    "-c 3",
    "-s least_loaded",
    "-s Backwards",
    "-s fixed --nodes 1",
    "--no-transferable",
    "--retries 2 --retry-on OSError --retry-on KeyError --retry-wait 10ms",
    "--timeout 1m",
    "--max-errors 3",
    "--priority -2",
    "--pin {node}",
    "--require host={host}",
    "--aggregate sum",
    "--aggregate widest",
    "--on-success told --on-failure told",
    "--on-error collect",
    "--max-capture 10MB",
    "--results file:///tmp",
    "--no-ship",
    "-q --progress text",
    "-a",
    "-b",
]


@pytest.mark.parametrize("option", OPTIONS)
def test_a_map_says_the_very_job_that_it_runs(helped: Notebook, option: str) -> None:
    host = helped.good("%nbcluster nodes").value["host"][0]
    options = option.format(node=node(helped), host=host)
    name = f"shown{OPTIONS.index(option)}" if "--name" not in option else "shown"
    cell = f"%%nbcluster map n in range(7) -o {name} {options}\nx = n * factor  # thrice\nx + 1"
    names = carried_out(helped, shown(helped, cell))
    job = names[name]
    assert job.wait().results() == [n * 3 + 1 for n in range(7)]
    if "--aggregate" in option:
        assert job.result() == (19 if "widest" in option else sum(job.results()))
    # Same name, code and input: the cell itself finds the job that the printed text made.
    ran = helped.good(cell)
    assert "re-attached" in ran.out or "-q" in option
    assert helped[name].id == job.id
    assert helped[name].wait().partitions()["transferable"].all() == ("--no-transferable" not in option)
    names["nc"].close()


@pytest.mark.parametrize(
    ("cell", "values"),
    [
        ("%%nbcluster map_partitions part in nb.items(range(6), chunk=2) -o parts\nsum(part)", [1, 5, 9]),
        ("%%nbcluster map_partitions part in nb.ranges(0, 6) -o parts2 -p 2\nsum(part) * factor", [9, 36]),
        ("%%nbcluster map a, (b, *c) in pairs -o spread\na + b + sum(c)", [6, 15]),
        ("%%nbcluster map a, b in [(1, 2), (3, 4)] -o module\nimport math\ndef f(a, b):\n    return a * b", [2, 12]),
        ("%%nbcluster map n in 1, 2, 3 -o bare\n-n", [-1, -2, -3]),
        ("%%nbcluster map n in (i for i in range(3)) -o lazy -c 2\n-n", [0, -1, -2]),
        (
            '%%nbcluster map n in [1] -o text\n"""a\n  b"""\nt = """c\n  d"""\n(t,\n f"""{n}\n e""")',
            [("c\n  d", "1\n e")],
        ),
        ("%%nbcluster map n in [1] -o unicode\né = 'ü' * n; é", ["ü"]),
        ("%%nbcluster map n in [2] -o valueless\nn = n + 1", [None]),
        ("%%nbcluster map n in [2] -o indented\n    if n:\n        m = 5\n    m * n", [10]),
        ("%%nbcluster map n in [2] -o quiet\nn * 2;", [4]),
        ("%%nbcluster submit -o once\nimport math\nmath.factorial(5)", [120]),
        ("%%nbcluster submit -o twice --retries 1 --aggregate sum\n7", [7]),
    ],
)
def test_every_shape_of_cell_says_the_very_job_that_it_runs(helped: Notebook, cell: str, values: list[Any]) -> None:
    helped.good("import nbcluster as nb")
    name = re.search(r"-o (\w+)", cell)
    assert name is not None
    names = carried_out(helped, shown(helped, cell))
    job = names[name[1]]
    assert job.results() == values
    assert "re-attached" in helped.good(cell).out
    assert helped[name[1]].id == job.id
    names["nc"].close()


def test_fresh_is_fresh_there_too(helped: Notebook) -> None:
    text = shown(helped, "%%nbcluster map n in range(3) -o anew --fresh\nn")
    first, second = (carried_out(helped, text) for _ in range(2))
    assert first["anew"].id != second["anew"].id
    for names in (first, second):
        names["nc"].close()


def test_a_failing_cell_fails_there_too(helped: Notebook) -> None:
    text = shown(helped, "%%nbcluster map n in range(3) -o bad\n1 / n")
    with pytest.raises(Exception, match="bad: 1 of 3 items failed"):
        carried_out(helped, text)


def test_a_local_cell_is_plain_python(helped: Notebook) -> None:
    assert carried_out(helped, shown(helped, "%%nbcluster local n in range(3) -o here\nn * factor"))["here"] == [
        0,
        3,
        6,
    ]
    text = shown(helped, "%%nbcluster local a, b in [(1, 2)] -o both\ndef f(a, b):\n    return a - b")
    assert carried_out(helped, text)["both"] == [-1]
    assert "nbcluster" not in text


def test_it_reads_like_a_script(helped: Notebook) -> None:
    assert shown(
        helped, "%%nbcluster map n in range(1, 10_001) --name steps --retries 2\nm = n  # kept\n\nm + 1\n"
    ) == (
        "import nbcluster as nb\n\nnc = nb.connect()\n\n\n"
        "def steps_of(n):\n    m = n  # kept\n\n    return m + 1\n\n\n"
        'job = nc.map(steps_of, range(1, 10_001), name="steps", retries=2)\n'
        "job.results()  # waits; raises if something failed\n"
    )


LINES = {
    "status": ("%nbcluster status", "nc.overview()"),
    "connect": ("%nbcluster connect sqlite:///x.db", 'nc = nb.connect("sqlite:///x.db")'),
    "up": ("%nbcluster up 3 --slots 2", "nc.up(3, slots=2)"),
    "down": ("%nbcluster down", "nc.down()"),
    "nodes": ("%nbcluster nodes --all", "nc.nodes(all=True)"),
    "jobs": ("%nbcluster jobs --since 7d", "nc.jobs(since=604800)"),
    "watch": ("%nbcluster watch known", 'nc.job("known").watch()'),
    "doctor": ("%nbcluster doctor", "print(nc.doctor())"),
    "partitions": ("%nbcluster partitions known", 'nc.partitions("known")'),
    "attach": ("%nbcluster attach known -o k", 'k = nc.job("known")'),
    "cancel": ("%nbcluster cancel known --now", 'nc.cancel("known", now=True)'),
    "pause": ("%nbcluster pause known", 'nc.pause("known")'),
    "resume": ("%nbcluster resume 12 -a", "job = nc.resume(12)"),
    "retry": ("%nbcluster retry known --partition 1 -a", 'known = nc.retry("known", 1)'),
    "drain": ("%nbcluster drain alpha", 'nc.drain("alpha")'),
    "logs": ("%nbcluster logs known 0 --tail 2", 'print(nc.job("known").logs(0, tail=2))'),
    "error": ("%nbcluster error known --step map", 'print(nc.job("known").step("map").traceback())'),
    "replay": ("%nbcluster replay known 1 --attempt 1", 'values = nc.job("known").replay(1, attempt=1)'),
}


def test_every_line_magic_says_its_call(notebook: Notebook) -> None:
    known = {command.name for command in COMMANDS if command.kind == LINE} - {"help"}
    assert set(LINES) == known
    for line, call in LINES.values():
        assert shown(notebook, line).splitlines()[-1] == call


@pytest.mark.parametrize(
    "command", sorted(set(LINES) - {"connect", "up", "down", "cancel", "pause", "resume", "drain", "watch"})
)
def test_the_calls_of_line_magics_run(helped: Notebook, command: str) -> None:
    helped.good("%%nbcluster map n in range(3) -o known -c 2 -q\nprint(n)\nn")
    names = carried_out(helped, shown(helped, LINES[command][0]))
    assert names.get("values", [2]) == [2]
    assert names["nc"].url
    if command in ("attach", "retry"):
        assert names["k" if command == "attach" else "known"].wait().results() == [0, 1, 2]
    names["nc"].close()


def test_the_calls_that_act_on_a_job_run(helped: Notebook) -> None:
    helped.good("%%nbcluster map n in range(60) -o acted --fresh -p 60 -a -q\nimport time\ntime.sleep(0.05)\nn")
    for line, state in (("pause acted", "STARTED"), ("resume acted -a", "STARTED"), ("cancel acted --now", "STOPPED")):
        names = carried_out(helped, shown(helped, f"%nbcluster {line}"))
        assert helped["acted"].state == state
        names["nc"].close()
    names = carried_out(helped, shown(helped, "%nbcluster resume acted"))
    assert names["acted"].results() == list(range(60))
    names["nc"].close()


def test_nothing_is_run_or_connected_to(bare: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBCLUSTER_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    bare.good("%load_ext nbcluster")
    for command in COMMANDS:
        if command.kind == CELL and command.name != "sql":
            target = " n in 1 / 0" if command.header else ""
            bare.good(f"%%nbcluster {command.name}{target} --show\nraise SystemExit(n)")
    bare.good("%nbcluster up 2 --show")
    assert "_job" not in bare


def test_a_password_is_not_printed(notebook: Notebook) -> None:
    said = shown(notebook, "%nbcluster connect postgresql://me:secret@host/db")
    assert "secret" not in said
    assert said.splitlines()[-1] == (
        "nc = nb.connect()  # NBCLUSTER_URL, in the environment, is postgresql://me:...@host/db"
    )


def test_what_makes_no_sense_is_one_red_line_here_too(notebook: Notebook) -> None:
    for cell in ("%%nbcluster map n in range(3) --show\nreturn n", "%%nbcluster map range(3) --show\nn"):
        ran = notebook.run(cell)
        assert type(ran.error).__name__ == "UsageError"
        assert "Traceback" not in ran.out + ran.err
