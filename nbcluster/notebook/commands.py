"""The magic's sub-commands and options, declared once: reading, help and completion all come from here."""

from __future__ import annotations

from dataclasses import replace

from nbcluster.config import parse_count, parse_duration, parse_size
from nbcluster.notebook.declared import (
    CELL,
    LINE,
    Command,
    Option,
    Positional,
    choice,
    identifier,
    index,
    not_negative,
    strategy,
    whole,
)  # fmt: skip
from nbcluster.rows.target import IF_EXISTS

STRATEGIES = ("round_robin", "fixed", "scale_up", "least_loaded")
PROGRESS = ("auto", "widget", "html", "text", "none")

_OUT = Option(("-o", "--out"), "out", "name for the job handle; also kept as _job", "NAME", identifier)
_NAME = Option(("--name",), "name", "the job's name, for attach; default: the name of -o", "NAME")
_BLOCK = (
    Option(("-b", "--block"), "block", "wait until the job has ended (default)"),
    Option(("-a", "--noblock"), "block", "go on at once; the view keeps running", const=False),
)
_PIECES = (
    Option(("-p", "--partitions"), "partitions", "number of partitions; default: 4 per live slot", "N", parse_count),
    Option(("-c", "--chunk"), "chunk", "items per partition, instead of --partitions", "N", parse_count),
)
_PLACING = (
    Option(
        ("-s", "--strategy"),
        "strategy",
        "which node gets what: round_robin (default), fixed, scale_up, least_loaded, or a name of yours",
        "NAME",
        strategy,
        STRATEGIES,
    ),
    Option(("--nodes",), "nodes", "use K nodes (--strategy fixed)", "K", parse_count),
    Option(("--transferable",), "transferable", "a lost node's work runs again elsewhere (default)"),
    Option(("--no-transferable",), "transferable", "it fails instead: nothing runs twice", const=False),
)
_TRYING = (
    Option(("--retries",), "retries", "how often an item that raises is tried again (default 0)", "N", not_negative),
    Option(("--retry-on",), "retry_on", "only for these exceptions; may be given several times", "ERROR", many=True),
    Option(("--retry-wait",), "retry_wait", "pause before the first retry, doubled each time", "D", parse_duration),
    Option(("--timeout",), "timeout", "a partition that runs longer is killed", "D", parse_duration),
    Option(("--max-errors",), "max_errors", "more failed items than this end the job", "N", not_negative),
)
_CLAIMING = (
    Option(("--priority",), "priority", "higher ones first (default 0)", "N", whole),
    Option(
        ("--require",), "require", "only nodes with this label: gpu, mem>=32; may be given several times", "LABEL",
        many=True,
    ),
    Option(("--pin",), "pin", "only the node of this name", "NODE"),
)  # fmt: skip
_AFTERWARDS = (
    Option(("--aggregate",), "aggregate", "then fold all values: sum, mean, frame ..., or a function", "NAME"),
    Option(("--on-success",), "on_success", "then call this function, if all is well", "NAME", identifier),
    Option(("--on-failure",), "on_failure", "then call this function, if something failed", "NAME", identifier),
)
_INTO = (
    Option(("--into",), "into", "write the rows that come back into this table, each exactly once", "TABLE"),
    Option(
        ("--if-exists",),
        "if_exists",
        "what if that table is there: fail (default), append, or replace",
        "append|replace|fail",
        choice(*IF_EXISTS),
        IF_EXISTS,
    ),
)
_RESULTS = Option(
    ("--results",), "results", "where large values travel, for example file:///share/values (the database)", "ADDRESS"
)
_FRESH = Option(("--fresh",), "fresh", "run anew, even if this name, code and input ran before")
_CACHE = (
    Option(
        ("--cache",), "cache", "take over results of earlier jobs with equal code and input, and keep these for others"
    ),
    Option(("--no-cache",), "cache", "run everything (default)", const=False),
)
_ENDING = (
    Option(
        ("--on-error",),
        "on_error",
        "raise at the end if an item failed (default), or collect: only frame() tells",
        "raise|collect",
        choice("raise", "collect"),
        ("raise", "collect"),
    ),
    Option(
        ("--max-capture",), "max_capture", "largest function with all it captured, for example 64MB", "SIZE", parse_size
    ),
)
_SHIP = (
    Option(
        ("--ship",), "ship", "send this module too, beside the notebook or not; may be given several times", "MODULE",
        many=True,
    ),
    Option(("--no-ship",), "beside", "send none of the modules beside the notebook: the nodes have them", const=False),
)  # fmt: skip
_SHOWING = (
    Option(("-q", "--quiet"), "quiet", "show nothing"),
    Option(("--progress",), "progress", "how to show the job", "|".join(PROGRESS), choice(*PROGRESS), PROGRESS),
)
_JOB_DOC = "a job's name (the newest of that name), or its number"
_JOB = Positional("job", "JOB", _JOB_DOC, required=True)
_NUMBER = Positional("partition", "PARTITION", "its number, from 0", parse=index)

_PLANNING = (
    Option(("--dry-run",), "dry_run", "show what would happen; no node runs anything, nothing is stored"),
    Option(("--sample",), "sample", "the same, with N partitions run and timed here", "N", parse_count),
)
_COMMON = (*_BLOCK, _FRESH, *_CACHE, *_SHIP, *_PLACING, *_CLAIMING, *_TRYING, *_AFTERWARDS, *_ENDING, *_SHOWING)
_SUBMIT_OPTIONS = (_OUT, _NAME, *_INTO, _RESULTS, *_COMMON, *_PLANNING)
_LOCAL_OPTIONS = (_OUT, _NAME, *_PIECES, *_COMMON)
_MAP_OPTIONS = (*_LOCAL_OPTIONS, *_INTO, _RESULTS, *_PLANNING)
_NOW = Option(("--now",), "now", "kill what runs, without the seconds that it otherwise gets to end by itself")
_STEP = Option(("--step",), "step", "of this step of a pipeline", "NAME")
_PARTITION = Option(("--partition",), "partition", "this one only, also when it is COMPLETED", "N", index)

_SHOW = Option(("--show",), "show", "print the equal Python call, and run nothing")

_DECLARED = (
    Command(
        "status",
        LINE,
        "one line: where connected, nodes alive, jobs running",
        more="Your own running jobs are named with how far they are.",
    ),
    Command(
        "connect",
        LINE,
        "choose the database",
        (
            Positional(
                "url", "URL", "an SQLAlchemy URL; without one the settings choose, or your own embedded database"
            ),
        ),
        example="%nbcluster connect postgresql://labdb/nbcluster",
        more=(
            "Everything after it in this notebook goes there. An embedded database is made if it is not there; "
            "the tables of a server are made by: nbcluster init."
        ),
    ),
    Command(
        "up",
        LINE,
        "start N nodes (default 1) on this machine and wait until they are ready",
        (Positional("count", "N", "how many", parse=parse_count),),
        (Option(("--slots",), "slots", "partitions that each node runs at once", "S", parse_count),),
        example="%nbcluster up 2 --slots 1",
        more=(
            "The nodes go on when this kernel ends; %nbcluster down stops them. Without --slots they share this "
            "machine's cores."
        ),
    ),
    Command("down", LINE, "stop the nodes that were started on this machine"),
    Command(
        "nodes",
        LINE,
        "a frame of the nodes",
        options=(Option(("--all",), "all", "notebooks and scripts too, which have 0 slots"),),
        more=(
            "Columns: node, state, heartbeat_age (seconds), slots, busy, load, python, version, host, pid, "
            "started (UTC), labels."
        ),
    ),
    Command(
        "jobs",
        LINE,
        "a frame of the jobs: the newest 50 and all that run",
        options=(
            Option(("--all",), "all", "the newest 1000"),
            Option(("--since",), "since", "those submitted in this time instead: 7d, 12h", "D", parse_duration),
        ),
        example="%nbcluster jobs --since 7d",
        more="Columns: job (its number), name, state, user, items, done, failed, created (UTC), seconds, strategy.",
    ),
    Command("partitions", LINE, "a frame of a job's partitions", (_JOB,), (_STEP,)),
    Command(
        "watch",
        LINE,
        "a live view of any job, or of the whole cluster; the cell does not wait for it",
        (Positional("job", "JOB", f"{_JOB_DOC}; without one the whole cluster"),),
        (_SHOWING[1],),
        example="%nbcluster watch",
        more=(
            "Nothing is bound and nothing is taken over; it may be a job that somebody else started. The view of a job "
            "ends with the job; that of the cluster goes on while other cells run, until Close, or until its cell is "
            "run again. Its last state stays in the notebook."
        ),
    ),
    Command(
        "doctor",
        LINE,
        "examine the database, the nodes and this kernel: what is wrong, and the command that cures it",
        more=(
            "It looks at the URL and where it comes from, the driver, the time of a round trip, the clocks, the "
            "rights of this login, the tables and the key; at nodes that are silent or drain; at Python, "
            "nbcluster and packages that differ between this kernel and the nodes; at jobs that wait, and why. It "
            "changes nothing, and it works when connecting does not."
        ),
    ),
    Command(
        "attach",
        LINE,
        "get a job's handle and view in this kernel",
        (_JOB,),
        (_OUT, *_SHOWING),
        example="%nbcluster attach collatz",
        more="Its handle is called as the job is, if that is free, or as -o says. The job goes on whoever looks.",
    ),
    Command(
        "cancel",
        LINE,
        "stop a job; what is finished is kept",
        (_JOB,),
        (_NOW,),
        more="What runs gets an interrupt and some seconds to end; %nbcluster resume JOB goes on with the rest.",
    ),
    Command(
        "pause",
        LINE,
        "begin no more of a job's partitions; what runs, runs on",
        (_JOB,),
        more="%nbcluster resume JOB goes on.",
    ),
    Command(
        "resume",
        LINE,
        "go on with a paused job, or run what a stopped or failed one has left",
        (_JOB,),
        (_OUT, *_BLOCK, _ENDING[0], *_SHOWING),
        more="The stored split is used again, so what is COMPLETED is not run again.",
    ),
    Command(
        "retry",
        LINE,
        "run the failed partitions of a job again",
        (_JOB,),
        (_PARTITION, _OUT, *_BLOCK, _ENDING[0], *_SHOWING),
        example="%nbcluster retry collatz --partition 3",
    ),
    Command(
        "drain",
        LINE,
        "let a node finish what it runs, then leave",
        (Positional("node", "NODE", "a node's id, or its name: then all of that name", required=True),),
        example="%nbcluster drain alpha",
        more="It takes no more work at once, however long what it runs may take.",
    ),
    Command(
        "logs",
        LINE,
        "what a partition printed; without a number, the last lines of the one that ended last",
        (_JOB, _NUMBER),
        (Option(("--tail",), "tail", "the last N lines", "N", parse_count), _STEP),
        example="%nbcluster logs collatz 3 --tail 50",
    ),
    Command(
        "error",
        LINE,
        "the traceback of a partition; without a number, each kind of error with its first one",
        (_JOB, _NUMBER),
        (_STEP,),
        example="%nbcluster error collatz 3",
    ),
    Command(
        "replay",
        LINE,
        "run a partition here, with its code and its inputs as they are stored; then %debug looks at an error",
        (_JOB, replace(_NUMBER, required=True)),
        (
            Option(("--attempt",), "attempt", "as this attempt; default: the last one", "K", parse_count),
            Option(("--pdb",), "pdb", "look at an error in the debugger at once"),
            _STEP,
        ),
        example="%nbcluster replay collatz 3 --pdb",
    ),
    Command("help", LINE, "this list, or one command in full", (Positional("topic", "COMMAND", "one of the list"),)),
    Command(
        "map",
        CELL,
        "run the body once per item",
        options=_MAP_OPTIONS,
        header=True,
        example="%%nbcluster map n in range(1, 10_001) -o collatz",
    ),
    Command(
        "map_partitions",
        CELL,
        "run the body once per partition; it sees the whole piece",
        options=_MAP_OPTIONS,
        header=True,
        example="%%nbcluster map_partitions part in nb.frame(df, rows=10_000) -o cleaned",
    ),
    Command(
        "submit",
        CELL,
        "run the body once, on some node",
        options=_SUBMIT_OPTIONS,
        example="%%nbcluster submit -o model",
    ),
    Command(
        "local",
        CELL,
        "run the body once per item here, in this kernel: to try it, and for breakpoints",
        options=_LOCAL_OPTIONS,
        header=True,
        example="%%nbcluster local n in range(3)",
    ),
    Command(
        "sql",
        CELL,
        "the body is a SELECT: of nodes, jobs, partitions, attempts, events, logs, results, your frames and files",
        options=(Option(("-o", "--out"), "out", "name for the frame, instead of showing it", "NAME", identifier),),
        example="%%nbcluster sql -o slow",
    ),
)

COMMANDS = tuple(one if one.name == "help" else replace(one, options=(*one.options, _SHOW)) for one in _DECLARED)
