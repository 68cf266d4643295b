"""The magic's line as a record, and the sentences about lines that make no sense."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nbcluster.errors import UsageError
from nbcluster.notebook.arguments import Arguments, parse
from nbcluster.notebook.commands import COMMANDS
from nbcluster.notebook.declared import CELL, LINE
from nbcluster.notebook.help import overview, topic


def changed(arguments: Arguments) -> dict[str, Any]:
    """What differs from the defaults."""
    return {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(arguments)
        if field.name not in ("command", "kind", "header") and getattr(arguments, field.name) != field.default
    }


@pytest.mark.parametrize(
    ("line", "command", "values"),
    [
        ("", "status", {}),
        ("  # where am I", "status", {}),
        ("connect", "connect", {}),
        ("connect postgresql://u@labdb/nb  # the lab", "connect", {"url": "postgresql://u@labdb/nb"}),
        ("up", "up", {}),
        ("up 3 --slots 2", "up", {"count": 3, "slots": 2}),
        ("up --slots=2 3", "up", {"count": 3, "slots": 2}),
        ("down", "down", {}),
        ("status", "status", {}),
        ("nodes --all", "nodes", {"all": True}),
        ("jobs", "jobs", {}),
        ("partitions collatz", "partitions", {"job": "collatz"}),
        ("partitions 'two words'", "partitions", {"job": "two words"}),
        ("attach collatz -o c --progress text", "attach", {"job": "collatz", "out": "c", "progress": "text"}),
        ("cancel 12", "cancel", {"job": "12"}),
        ("cancel collatz --now", "cancel", {"job": "collatz", "now": True}),
        ("pause collatz", "pause", {"job": "collatz"}),
        ("retry collatz", "retry", {"job": "collatz"}),
        ("retry collatz --partition 3 -a", "retry", {"job": "collatz", "partition": 3, "block": False}),
        ("drain alpha", "drain", {"node": "alpha"}),
        ("resume collatz -a", "resume", {"job": "collatz", "block": False}),
        ("logs collatz 17", "logs", {"job": "collatz", "partition": 17}),
        ("logs collatz 17 --tail 50", "logs", {"job": "collatz", "partition": 17, "tail": 50}),
        ("error collatz --step load", "error", {"job": "collatz", "step": "load"}),
        ("replay collatz 3", "replay", {"job": "collatz", "partition": 3}),
        ("replay collatz 3 --attempt 2 --pdb", "replay", {"job": "collatz", "partition": 3, "attempt": 2, "pdb": True}),
        ("nodes --show", "nodes", {"show": True}),
        ("help", "help", {}),
        ("--help", "help", {}),
        ("help map", "help", {"topic": "map"}),
        ("up --help", "help", {"topic": "up"}),
    ],
)
def test_line_commands(line: str, command: str, values: dict[str, Any]) -> None:
    arguments = parse(line, LINE)
    assert (arguments.command, changed(arguments)) == (command, values)


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("map n in xs", {}),
        ("map n in xs -o r --name slow -a", {"out": "r", "name": "slow", "block": False}),
        ("map n in xs -a -b", {}),
        ("map n in xs -p 8", {"partitions": 8}),
        ("map n in xs --chunk=100", {"chunk": 100}),
        ("map n in xs -s fixed --nodes 2", {"strategy": "fixed_node_count", "nodes": 2}),
        ("map n in xs --nodes 2", {"strategy": "fixed_node_count", "nodes": 2}),
        ("map n in xs -s least-loaded", {"strategy": "least_loaded"}),
        ("map n in xs -s mine", {"strategy": "mine"}),
        ("map n in xs --no-transferable", {"transferable": False}),
        ("map n in xs --no-ship", {"beside": False}),
        ("map n in xs --on-error collect --max-capture 2GB", {"on_error": "collect", "max_capture": 2 * 10**9}),
        ("map n in xs -q --progress none", {"quiet": True, "progress": "none"}),
        ("map n in xs --fresh --priority -3", {"fresh": True, "priority": -3}),
        ("map n in xs --retries 2 --retry-wait 500ms --timeout 2m", {"retries": 2, "retry_wait": 0.5, "timeout": 120}),
        ("map n in xs --retry-on OSError --retry-on=KeyError", {"retry_on": ("OSError", "KeyError")}),
        ("map n in xs --max-errors 0", {"max_errors": 0}),
        ("map n in xs --require gpu --require 'mem>=32' --pin a", {"require": ("gpu", "mem>=32"), "pin": "a"}),
        ("map n in xs --aggregate sum --on-failure tell", {"aggregate": "sum", "on_failure": "tell"}),
        ("map_partitions p in nb.items(xs) -o r", {"out": "r"}),
        ("submit -o r --no-transferable", {"out": "r", "transferable": False}),
        ("local n in xs -o r -p 3", {"out": "r", "partitions": 3}),
        ("map n in xs --dry-run", {"dry_run": True}),
        ("map n in xs --sample 2 --show", {"sample": 2, "show": True}),
        ("map n in xs --help", {"topic": "map"}),
    ],
)
def test_cell_commands(line: str, values: dict[str, Any]) -> None:
    assert changed(parse(line, CELL)) == values


def test_the_header_is_kept_with_its_place() -> None:
    arguments = parse("map -q n in it's_not_a_quote", CELL)
    assert arguments.header is not None
    assert (arguments.header.text, arguments.header.offset) == ("n in it's_not_a_quote", 7)


@pytest.mark.parametrize(
    ("line", "kind", "sentence"),
    [
        ("mep n in xs", CELL, "%%nbcluster mep: there is no such command; did you mean map?"),
        ("node", LINE, "%nbcluster node: there is no such command; did you mean nodes?"),
        ("xyzzy", CELL, "%%nbcluster xyzzy: there is no such command; there are map, map_partitions, submit, local"),
        ("map n in xs", LINE, "%nbcluster map is written %%nbcluster map; it heads a cell: its body is what runs"),
        ("nodes", CELL, "%%nbcluster nodes is written %nbcluster nodes; it stands alone on its line, without a body"),
        ("", CELL, "%%nbcluster needs a command; there are map, map_partitions, submit, local"),
        ("statsu", LINE, "%nbcluster statsu: there is no such command; did you mean status?"),
        ("map n in xs --nam x", CELL, "%%nbcluster map: there is no option --nam; did you mean --name or --sample?"),
        ("nodes --al", LINE, "%nbcluster nodes: there is no option --al; did you mean --all?"),
        ("down --force", LINE, "%nbcluster down: there is no option --force; %nbcluster help down lists them"),
        ("map n in xs -k", CELL, "write a space after the dash: - k"),
        ("map n in xs -o", CELL, "%%nbcluster map: -o needs a value: -o NAME"),
        ("map n in xs -o 3x", CELL, "-o: '3x' cannot be the name of a Python variable"),
        ("map n in xs -o class", CELL, "-o: 'class' cannot be the name of a Python variable"),
        ("map n in xs -q=1", CELL, "there is no option -q=1"),
        ("map n in xs --quiet=1", CELL, "--quiet takes no value"),
        ("map n in xs -p 0", CELL, "-p: 0 is too few; write 1 or more"),
        ("map n in xs -p many", CELL, "-p: 'many' is no whole number; write 1 or more"),
        ("map n in xs -p 2 -c 3", CELL, "--partitions and --chunk both set the size of the pieces; give one"),
        ("map n in xs -s scale_up --nodes 2", CELL, "--nodes belongs to --strategy fixed"),
        ("map n in xs --on-error stop", CELL, "--on-error: 'stop' is not one of raise, collect"),
        ("map n in xs --progress bar", CELL, "--progress: 'bar' is not one of auto, widget, html, text, none"),
        ("map n in xs --max-capture big", CELL, "--max-capture: 'big' is no size"),
        ("map n in xs -o r ys", CELL, "`ys` is left over; options stand before or after TARGET in EXPR"),
        ("up 0", LINE, "N: 0 is too few; write 1 or more"),
        ("up 2 --slots -1", LINE, "--slots: -1 is too few; write 1 or more"),
        ("up two", LINE, "N: 'two' is no whole number; write 1 or more"),
        ("up 2 3", LINE, "`3` is left over; write %nbcluster up [N] [options]"),
        ("attach", LINE, "%nbcluster attach needs JOB; write %nbcluster attach JOB [options]"),
        ("logs collatz last", LINE, "PARTITION: 'last' is no partition number; they count from 0"),
        ("attach 'open", LINE, "a quote is not closed in: 'open"),
        ("attach ''", LINE, "JOB: an empty word says nothing"),
    ],
)
def test_one_sentence_about_what_makes_no_sense(line: str, kind: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(line, kind)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_help_names_every_command_and_option() -> None:
    text = overview()
    for command in COMMANDS:
        assert command.magic in text
        full = topic(command.name)
        for option in command.options:
            assert all(flag in full for flag in option.flags)


def test_help_about_nothing() -> None:
    with pytest.raises(UsageError, match="did you mean map"):
        topic("mapp")


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_the_help_of_a_command_explains_every_word_and_fits_a_page(command: str) -> None:
    (declared,) = [one for one in COMMANDS if one.name == command]
    lines = topic(command).splitlines()
    assert lines[0] == declared.usage
    for positional in declared.positionals:
        assert any(line.startswith(f"  {positional.metavar} ") and len(line.split()) > 1 for line in lines)
    assert max(map(len, lines)) <= 110


def test_every_example_can_be_read() -> None:
    for command in COMMANDS:
        if command.example:
            line = command.example.lstrip("%").removeprefix("nbcluster")
            assert parse(line, command.kind).command == command.name
