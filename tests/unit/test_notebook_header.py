"""Where the Python of a header ends and its options begin."""

from __future__ import annotations

import ast

import pytest

from nbcluster.errors import InputError
from nbcluster.notebook.commands import COMMANDS
from nbcluster.notebook.declared import CELL
from nbcluster.notebook.header import Header, Parts, parse, separate
from nbcluster.notebook.words import first_word, words

MAP = next(command for command in COMMANDS if command.name == "map" and command.kind == CELL)


def cut(line: str) -> tuple[str, tuple[str, ...]]:
    parts = separate(line, MAP.takes_value)
    return parts.text, parts.options


def read(line: str) -> Header:
    return parse(separate(line, MAP.takes_value), "%%nbcluster map")


@pytest.mark.parametrize(
    ("line", "text", "options"),
    [
        ("n in range(1, 10_001) -o collatz", "n in range(1, 10_001)", ("-o", "collatz")),
        ("-o collatz n in range(9)", "n in range(9)", ("-o", "collatz")),
        ("-q -p 4 n in xs --name 'my job'", "n in xs", ("-q", "-p", "4", "--name", "my job")),
        ("--name=x n in xs --strategy=fixed --nodes 2", "n in xs", ("--name=x", "--strategy=fixed", "--nodes", "2")),
        ("n in xs -p4 -c100", "n in xs", ("-p4", "-c100")),
        ("n in a - b -o c", "n in a - b", ("-o", "c")),
        ("n in a -5 -o c", "n in a -5", ("-o", "c")),
        ("n in a-b", "n in a-b", ()),
        ("n in a -offset", "n in a -offset", ()),
        ("n in a -x.y", "n in a -x.y", ()),
        ("n in a -f(1)", "n in a -f(1)", ()),
        ("n in a * -b", "n in a * -b", ()),
        ("n in -b -q", "n in -b", ("-q",)),
        ("n in x if y else -b", "n in x if y else -b", ()),
        ("n in [1, -2, 3 -o] -q", "n in [1, -2, 3 -o]", ("-q",)),
        ("n in f(a -b, {'c' : -d}) -q", "n in f(a -b, {'c' : -d})", ("-q",)),
        ("n in ['a -o b', \"c --name d\"] -q", "n in ['a -o b', \"c --name d\"]", ("-q",)),
        ("n in 'it\\'s -o x' -q", "n in 'it\\'s -o x'", ("-q",)),
        ("s in (f'{x} -o {y}' for x in xs) -o r", "s in (f'{x} -o {y}' for x in xs)", ("-o", "r")),
        ("n in xs[::-1] -o r", "n in xs[::-1]", ("-o", "r")),
        ("n in True -q", "n in True", ("-q",)),
        ("n in ... -q", "n in ...", ("-q",)),
        ("n in 'abc' -q", "n in 'abc'", ("-q",)),
        ("n in xs # -o r", "n in xs", ()),
        ("n in xs -q # why -o r", "n in xs", ("-q",)),
        ("n in ['#', 1] -q", "n in ['#', 1]", ("-q",)),
        ("n in xs: -q", "n in xs:", ("-q",)),
        ("n in xs --unknown 3", "n in xs", ("--unknown", "3")),
        ("n in xs -k", "n in xs", ("-k",)),
        ("n in xs -o r ys", "n in xs", ("-o", "r", "ys")),
        ("   n in xs   -q  ", "n in xs", ("-q",)),
        ("n in xs --name it''s", "n in xs", ("--name", "its")),
        ("", "", ()),
        ("-q", "", ("-q",)),
        ("# only a comment", "", ()),
    ],
)
def test_options_stand_around_the_header(line: str, text: str, options: tuple[str, ...]) -> None:
    assert cut(line) == (text, options)


@pytest.mark.parametrize(
    ("line", "names", "expression", "unpacks"),
    [
        ("n in range(3)", ("n",), "range(3)", False),
        ("a, b in pairs", ("a", "b"), "pairs", True),
        ("(a, b) in pairs", ("a", "b"), "pairs", True),
        ("a, (b, *c) in rows", ("a", "b", "c"), "rows", True),
        ("n in (x for x in xs if x in ys)", ("n",), "(x for x in xs if x in ys)", False),
        ("n in [x in y for x, y in pairs]", ("n",), "[x in y for x, y in pairs]", False),
        ("n in 1, 2, 3", ("n",), "(1, 2, 3)", False),
        ("n in range(3):", ("n",), "range(3)", False),
        ("größe in maße", ("größe",), "maße", False),
        ("n in (lambda: xs)()", ("n",), "(lambda: xs)()", False),
        ("n in {'in': [1]}['in']", ("n",), "{'in': [1]}['in']", False),
    ],
)
def test_target_and_expression(line: str, names: tuple[str, ...], expression: str, unpacks: bool) -> None:
    header = read(line)
    assert sorted(header.names) == sorted(names)
    assert ast.unparse(header.expression) == expression
    assert header.unpacks is unpacks


@pytest.mark.parametrize(
    "line",
    [
        "",
        "-o collatz",
        "range(3)",
        "n",
        "n in",
        "n in -o collatz",
        "in range(3)",
        "for n in range(3)",
        "n = range(3)",
        "n in range(3",
        "n in range(3))",
        "n in 'abc",
        "n in xs: pass; m in ys",
        "n in xs: print(1)",
        "n in xs; m in ys",
        "3 in xs",
        "f(x) in xs",
        "n in await xs:: -q",
        "n in x\0y",
    ],
)
def test_no_header_is_one_sentence_with_an_example(line: str) -> None:
    with pytest.raises(InputError, match=r"%%nbcluster map n in range\(10\)$") as caught:
        read(line)
    assert "\n" not in str(caught.value)


def test_a_target_binds_names_only() -> None:
    for target in ("x.y", "x[0]", "a, b.c"):
        with pytest.raises(InputError, match="a name or several"):
            read(f"{target} in xs")


def test_places_count_from_the_beginning_of_the_line() -> None:
    line = "  -q n in values -o r"
    header = parse(separate(line, MAP.takes_value), "%%nbcluster map", prefix=len("%%nbcluster map"))
    whole = "%%nbcluster map" + line
    assert whole[header.expression.body.col_offset : header.expression.body.end_col_offset] == "values"


def test_the_offset_of_a_header_is_where_it_stood() -> None:
    assert separate("  -q   n in xs", MAP.takes_value) == Parts(("-q",), "n in xs", 7)


def test_words_keep_quotes_together_and_backslashes_alone() -> None:
    assert [w.text for w in words(r"""a "b c" --url='sqlite:///C:\d e\f.db' g#h # i""")] == [
        "a",
        "b c",
        r"--url=sqlite:///C:\d e\f.db",
        "g#h",
    ]


def test_an_open_quote_is_named() -> None:
    with pytest.raises(InputError, match="quote is not closed in: 'a b"):
        words("connect 'a b")


def test_no_first_word() -> None:
    assert first_word("   ") is None
    assert first_word("  # up 2") is None
