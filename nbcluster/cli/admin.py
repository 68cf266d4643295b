"""``nbcluster``: look at a cluster and act on it from a terminal."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from nbcluster import __version__
from nbcluster.cli import acting, asking
from nbcluster.cli.acting import partition_number
from nbcluster.cli.connecting import cluster_of, count
from nbcluster.cli.doctor import doctor
from nbcluster.errors import NBClusterError, UsageError

_INTERRUPTED = 130

_EXAMPLES = """\
examples:
  nbcluster up 2                       two nodes on this machine, on your own embedded database
  nbcluster nodes                      who is there
  nbcluster jobs --json                for programs
  nbcluster partitions collatz         how the parts of the job "collatz" stand
  nbcluster logs collatz 3             what its partition 3 printed
  nbcluster sql "SELECT node, count(*) FROM attempts GROUP BY 1"
                                       ask in SQL
  nbcluster cancel collatz             stop it; what is finished stays
  nbcluster retry collatz              run what failed again
  nbcluster drain alpha                let a node finish, then leave
  nbcluster down                       stop the nodes of "up"
  nbcluster doctor                     what is wrong, and what to do about it

  nbcluster init --url postgresql+psycopg://labdb/nbcluster
                                       make the tables and the key of a shared database
  nbcluster init --url postgresql:// --print > create.sql
                                       for a database whose tables somebody else makes

Without --url: NBCLUSTER_URL, then nbcluster.toml, then your own embedded database.
exit codes: 0 done, 1 failed, 2 wrong usage, 3 database unreachable, 4 tables missing or too new, 130 interrupted
"""

_UNKNOWN = re.compile(r"argument COMMAND: invalid choice: '(.*)' \(choose from")


class _Parser(argparse.ArgumentParser):
    """argparse, with complaints of one sentence."""

    def error(self, message: str) -> NoReturn:
        unknown = _UNKNOWN.match(message)
        if unknown is None:
            raise UsageError(f"{message}; {self.prog} --help tells more")
        close = difflib.get_close_matches(unknown[1], _COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_COMMANDS)}"
        raise UsageError(f"there is no command {unknown[1]}; {hint}")


def parser() -> argparse.ArgumentParser:
    """The sub-commands and their options."""
    made = _Parser(
        prog="nbcluster",
        description="Look at a cluster and act on it. A node is run by nbcluster-node.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("-V", "--version", action="version", version=f"nbcluster {__version__}")
    _add_url(made, None)
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, words, arguments) in _COMMANDS.items():
        command = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.",
                                      allow_abbrev=False)  # fmt: skip
        # SUPPRESS: a --url before the command must survive one that is not given after it.
        _add_url(command, argparse.SUPPRESS)
        for flags, described in arguments:
            command.add_argument(*flags, **described)
        if any(flags == ("--json",) for flags, _ in arguments):
            command.set_defaults(form="table")
    return made


def _add_url(to: argparse.ArgumentParser, default: str | None) -> None:
    to.add_argument("--url", default=default, metavar="URL", help="the database, as an SQLAlchemy URL")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal without Unicode shows what it can
    if argv is None:
        argv = sys.argv[1:]
    if not argv:
        parser().print_help(sys.stderr)
        return UsageError.exit_code
    try:
        options = parser().parse_args(argv)
        run: Callable[[argparse.Namespace], int] = _COMMANDS[options.command][0]
        code = run(options)
        sys.stdout.flush()
        return code
    except NBClusterError as error:
        print(f"nbcluster: {_one_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read the output has had enough (| head); the interpreter's own last flush must not complain.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a folder for keys or process ids that cannot be written
        print(f"nbcluster: {_one_line(str(error))}", file=sys.stderr)
        return NBClusterError.exit_code
    except KeyboardInterrupt:
        print("nbcluster: interrupted", file=sys.stderr)
        return _INTERRUPTED


def _one_line(text: str) -> str:
    from nbcluster.cli.listing import clean

    return " ".join(clean(text).split())


# --- setting up ----------------------------------------------------------------------------------


def _init(options: argparse.Namespace) -> int:
    from nbcluster.cli.setup import initialize, script

    if options.drop and not options.print:
        raise UsageError("--drop goes with --print: nbcluster prints the statements and drops nothing by itself")
    if options.print:
        print(script(options.url, dropping=options.drop), end="")
    else:
        print(initialize(options.url, new_key=options.new_key))
    return 0


def _up(options: argparse.Namespace) -> int:
    with cluster_of(options, making=True) as cluster:
        started = cluster.up(options.count, slots=options.slots)
        slots = {node.slots for node in cluster.store.nodes.all() if node.node_id in started}
    each = f", {count(max(slots), 'slot')} each" if slots else ""
    print(f"{count(len(started), 'node')} ready on this machine{each}: {', '.join(started)}")
    print(f"They go on until: nbcluster down{_as_given(options, cluster.url)}")
    return 0


def _as_given(options: argparse.Namespace, shown: str) -> str:
    return f" --url '{shown}'" if options.url else ""


def _down(options: argparse.Namespace) -> int:
    # Without connecting: the nodes of this machine can be stopped while the database is away.
    from nbcluster.config import load_settings
    from nbcluster.local import LocalNodes
    from nbcluster.store.engine import Database

    url = load_settings({"url": options.url}).url
    shown = Database(url, 1).url
    stopped = LocalNodes(url, shown).stop(10.0)
    print(f"{count(stopped, 'node')} stopped" if stopped else f"no node of {shown} was started here by up")
    return 0


# --- looking -------------------------------------------------------------------------------------


def _form(options: argparse.Namespace) -> str:
    return str(options.form)


def _nodes(options: argparse.Namespace) -> int:
    from nbcluster.cli.listing import NODES, write

    with cluster_of(options) as cluster:
        rows = [node for node in cluster.store.nodes.observed() if node.slots or options.all]
    if rows or _form(options) != "table":
        write(sys.stdout, NODES, rows, _form(options))
    else:
        print(f"No node is there. Start some here: nbcluster up 2{_as_given(options, cluster.url)}")
        print(f"or on any machine: nbcluster-node --url '{cluster.url}'")
    return 0


def _jobs(options: argparse.Namespace) -> int:
    from nbcluster.cli.listing import JOBS, write
    from nbcluster.config import parse_duration

    since = None if options.since is None else parse_duration(options.since, "--since")
    with cluster_of(options) as cluster:
        rows = cluster.store.views.listed(1000 if options.all else 50, since)
    if rows or _form(options) != "table":
        write(sys.stdout, JOBS, rows, _form(options))
    else:
        print("no job was submitted here " + ("yet" if since is None else f"in the last {options.since}"))
    return 0


def _partitions(options: argparse.Namespace) -> int:
    from nbcluster.cli.listing import PARTITIONS, write

    with cluster_of(options) as cluster:
        row = cluster.store.views.job(cluster.job(options.job).id)
        rows = cluster.store.views.partitions(row.step_execution_id) if row is not None else []
    write(sys.stdout, PARTITIONS, rows, _form(options))
    return 0


def _logs(options: argparse.Namespace) -> int:
    from nbcluster.cli.listing import clean

    with cluster_of(options) as cluster:
        job = cluster.job(options.job)
        if options.partition is None:
            said, trace = job.snapshot().log_tail, ""
        else:
            number = partition_number(options.partition)
            said, trace = job.logs(number), job.traceback(number)
    shown = [clean(text, keep="\n\t").rstrip("\n") for text in (said, trace) if text.strip()]
    print("\n\n".join(shown) if shown else f"{clean(job.name)}: nothing was printed")
    return 0


# --- what there is -------------------------------------------------------------------------------

_Argument = tuple[tuple[str, ...], dict[str, Any]]

_JOB: _Argument = (("job",), {"metavar": "JOB", "help": "its name (the newest of that name) or its number"})
_LISTING: tuple[_Argument, ...] = (
    (("--json",), {"action": "store_const", "const": "json", "dest": "form", "help": "records, times in UTC"}),
    (("--csv",), {"action": "store_const", "const": "csv", "dest": "form", "help": "comma-separated values"}),
)


def _flag(flag: str, words: str) -> _Argument:
    return ((flag,), {"action": "store_true", "help": words})


_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], str, tuple[_Argument, ...]]] = {
    "init": (
        _init,
        "make the tables, and the key of a shared database; says so when they are there already",
        (
            _flag("--print", "print the statements that make the tables, and do nothing"),
            _flag("--drop", "with --print: those that remove them"),
            _flag("--new-key", "make a key although others may have one: every machine needs the new one then"),
        ),
    ),
    "doctor": (
        doctor,
        "examine the database, the nodes and this machine: what is wrong, and the command that cures it",
        _LISTING,
    ),
    "up": (
        _up,
        "start nodes on this machine and wait until they are ready",
        (
            (("count",), {"metavar": "N", "nargs": "?", "default": 1, "help": "how many (default: 1)"}),
            (("--slots",), {"metavar": "S", "help": "partitions that each runs at once (default: the cores, shared)"}),
        ),
    ),
    "down": (_down, "stop the nodes that 'up' started on this machine", ()),
    "nodes": (_nodes, "list the nodes", (_flag("--all", "notebooks and scripts (0 slots) too"), *_LISTING)),
    "jobs": (
        _jobs,
        "list the newest 50 jobs and all that run",
        (
            _flag("--all", "the newest 1000"),
            (("--since",), {"metavar": "D", "help": "those submitted in this time instead: 7d, 12h"}),
            *_LISTING,
        ),
    ),
    "partitions": (_partitions, "list the partitions of a job", (_JOB, *_LISTING)),
    "sql": (
        asking.sql,
        "ask in SQL (tables nodes, jobs, partitions, attempts, events, logs, results; and files: FROM 'a.parquet')",
        (
            (("query",), {"metavar": "QUERY", "help": "a SELECT, in quotation marks"}),
            (
                ("--param",),
                {
                    "metavar": "NAME=VALUE",
                    "action": "append",
                    "default": [],
                    "help": "the value of :name in the query: a number, true, false, null or a text; may be repeated",
                },
            ),
            *_LISTING,
        ),
    ),
    "cancel": (
        acting.cancel,
        "stop a job; what is finished stays",
        (_JOB, _flag("--now", "kill what runs, without the seconds that it otherwise gets to end by itself")),
    ),
    "pause": (acting.pause, "begin no more of a job's partitions; what runs, runs on", (_JOB,)),
    "resume": (
        acting.resume,
        "go on with a paused job, or with what a stopped or failed one left unfinished",
        (_JOB,),
    ),
    "retry": (
        acting.retry,
        "run the failed partitions of a job again",
        (_JOB, (("--partition",), {"metavar": "N", "help": "this one only, also when it is COMPLETED"})),
    ),
    "drain": (
        acting.drain,
        "let a node finish what it runs, and leave",
        ((("node",), {"metavar": "NODE", "help": "its name or its whole id"}),),
    ),
    "logs": (
        _logs,
        "print what a job printed: its last lines, or all of one partition with its traceback",
        (_JOB, (("partition",), {"metavar": "PARTITION", "nargs": "?", "help": "its number, from 0"})),
    ),
}


if __name__ == "__main__":
    raise SystemExit(main())
