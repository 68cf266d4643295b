"""The cluster in the user's hands: connect, fan out.  Acting is in ``steering.py``, looking in ``overseeing.py``."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nbcluster import display, payload
from nbcluster.config import Settings, load_settings, origin_of, usable_cores
from nbcluster.diagnosing.diagnosis import Diagnosis
from nbcluster.diagnosing.examining import examine
from nbcluster.errors import DatabaseError, InputError
from nbcluster.handle import JobHandle
from nbcluster.lifecycle import PRESENT, JobStatus
from nbcluster.local import LocalNodes
from nbcluster.member import Member
from nbcluster.partitioners.base import Nodes
from nbcluster.pipeline import Pipeline
from nbcluster.records import JobRow, Node
from nbcluster.sharing import Shared, add_source
from nbcluster.steering import Steering
from nbcluster.store import SCHEMA_VERSION, Store, open_store
from nbcluster.submitting.options import Options, options_from, rules_of
from nbcluster.submitting.storing import candidates, only_step, row_of, store_job
from nbcluster.submitting.submission import Prepared, prepare

if TYPE_CHECKING:
    import pandas as pd

    from nbcluster.submitting.planned import Plan

log = logging.getLogger(__name__)


def connect(url: str | None = None, **settings: Any) -> Cluster:
    """Connect to a cluster: the database at ``url``, or this user's own embedded one.

    ``settings`` are the names of ``nbcluster.config.Settings``, durations in seconds or
    with a unit.  Jobs that everybody left are looked after from here on.  Raises
    DatabaseUnreachable, SchemaMissing, SchemaTooOld, SchemaTooNew or ConfigError.
    """
    cluster = visit(url, **settings)
    cluster.adopt_abandoned()
    return cluster


def visit(url: str | None = None, **settings: Any) -> Cluster:
    """Like ``connect``, for a process that looks or gives an order and soon ends: it looks after no job of others."""
    given = {"url": url, **settings}
    chosen = load_settings(given)
    store = open_store(
        chosen.url, initialize=chosen.initialize_schema, key_file=chosen.key_file, pool_size=3,
        spool=chosen.spool, large_value=chosen.large_value,
    )  # fmt: skip
    return Cluster(store, chosen, origin_of("url", given))


def doctor(url: str | None = None, **settings: Any) -> Diagnosis:
    """Examine the cluster at ``url``, or the one that ``connect()`` would choose; see ``Cluster.doctor``.

    Also when connecting fails: then that is the finding.
    """

    def examined() -> Diagnosis:
        with visit(url, **settings) as cluster:
            return cluster.doctor()

    return examine(examined)


class Cluster(Steering):
    """One database and the nodes that meet in it."""

    def __init__(self, store: Store, settings: Settings, url_origin: str = "given") -> None:
        self.store = store
        self.settings = settings
        self.url_origin = url_origin
        self._member: Member | None = None
        self._joining = threading.Lock()
        self._closed = False
        self._local = LocalNodes(settings.url, store.url)
        add_source(self._fetch_shared)
        # At the interpreter's end our row goes at once, so that others take our jobs over without a wait.
        atexit.register(_close_if_alive, weakref.ref(self))

    @property
    def url(self) -> str:
        """The database's URL without its password."""
        return self.store.url

    @property
    def schema_version(self) -> int:
        """The version of the database's tables; connecting refused any that this nbcluster does not know."""
        return SCHEMA_VERSION

    def __repr__(self) -> str:
        return f"<Cluster {self.url}>"

    # --- membership -------------------------------------------------------------

    @property
    def node_id(self) -> str:
        """The id under which this kernel is registered (with 0 slots); joins if it has not."""
        return self.join().node_id

    def join(self) -> Member:
        """Register this kernel, so that it can be master of jobs and watch over nodes."""
        with self._joining:
            if self._closed:
                raise InputError("this connection is closed; connect() again")
            if self._member is None:
                member = Member(self.store, self.settings, slots=0, prefix="kernel")
                member.start()
                self._member = member
            self._member.expect_jobs()
            return self._member

    def adopt_abandoned(self) -> None:
        """Join if jobs go on that nobody looks after: their masters are gone, and so is everybody else."""
        threshold = self.settings.unreachable_node_threshold
        present = [n for n in self.store.nodes.all() if n.status in PRESENT and n.heartbeat_age <= threshold]
        if not present and self.store.coordination.orphans(threshold):
            self.join()

    def finish_if_master(self, row: JobRow) -> JobStatus | None:
        """End a complete job at once when this kernel is its master; None when its master must."""
        if self._member is None or row.master_node_id != self._member.node_id:
            return None
        return self.store.advancing.advance(row.job_execution_id, row.term)

    # --- fan out ----------------------------------------------------------------------

    def map(self, function: Callable[..., Any], items: Any, **options: Any) -> JobHandle:
        """Call ``function(item)`` for each item, on the nodes.

        ``items`` is any finite iterable, a DataFrame (each row as a Series), a partitioner
        (``nb.ranges``, ``nb.dates``, ``nb.grid``, ``nb.files``, ``nb.csv``, ``nb.parquet``, ``nb.keys``, ``nb.sql``)
        or a function of the live nodes that gives the parts.  Options: ``name``, ``chunk`` (items in a partition) or
        ``partitions`` (by default four per live slot), ``strategy`` with ``nodes``,
        ``transferable``, ``max_capture``, ``ship``; ``retries`` of failed items with ``retry_on`` and
        ``retry_wait``, ``timeout`` of a partition, ``max_errors``, ``priority``, ``require`` and
        ``pin``; ``aggregate``, ``on_success`` and ``on_failure``, which run on a node; ``fresh``; ``cache``;
        ``results``, where values above ``large_value`` travel (``file:///share/values``, ``s3://bucket/folder``).

        Modules beside the notebook travel by themselves, with what they import, as they are in their
        files; ``ship`` names others that the nodes do not have, which travel as they are in this process;
        ``ship=False`` sends none.

        ``into`` names a table that gets the values as rows (``nb.table`` for one in another database): a
        DataFrame, a dict, a Series, a named tuple, a list of those, None for no rows.  Named levels of an
        index are columns; what is missing is NULL.  The rows of a partition commit together with its COMPLETED
        mark: each is there exactly once, whatever dies, and those of a partition that fails are not there at
        all.  Each result is then its number of rows.  The table is made from the columns of the first rows
        that come; ``if_exists``: ``"fail"`` (default), ``"append"``, ``"replace"``.

        The same name, function and input are the same job: it is re-attached to, or gone on
        with if it failed or was stopped (``handle.note`` says so), unless ``fresh``.  With ``cache=True``
        a partition takes over the result of an earlier job, whoever's, of equal code and equal input, unless
        ``fresh``; the input is split into 32 partitions then, whatever nodes there are.  When it
        returns, the job is stored and nothing of it can be lost.  Raises InputError or
        PayloadError, and then nothing was stored.
        """
        return self._submit(function, items, payload.ITEMS, options)

    def starmap(self, function: Callable[..., Any], items: Any, **options: Any) -> JobHandle:
        """Like ``map``, with ``function(*item)``."""
        return self._submit(function, items, payload.STAR, options)

    def map_partitions(self, function: Callable[..., Any], parts: Any, **options: Any) -> JobHandle:
        """Call ``function(part)`` once for each part of the split: a list, range, frame or handle with ``read()``."""
        return self._submit(function, parts, payload.PARTITION, options)

    def submit(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> JobHandle:
        """Call ``function(*args, **kwargs)`` once, on some node; ``.result()`` gives its value."""
        return self._submit(function, (args, kwargs), payload.CALL, {})

    def call(self, function: Callable[..., Any], **options: Any) -> JobHandle:
        """Like ``submit`` without arguments, with the options of ``map``."""
        return self._submit(function, ((), {}), payload.CALL, options)

    def plan(
        self, function: Callable[..., Any], items: Any = ((), {}), *, how: str = "map", sample: int = 0, **options: Any
    ) -> Plan:
        """What ``map(function, items, **options)`` would do now; nothing is stored, and nothing runs on a node.

        ``how`` is ``map``, ``starmap``, ``map_partitions`` or ``submit`` (without arguments).  The plan
        tells the split, what each node would get or why it would not, what the function
        captured by name and size, and how long it takes: from ``sample`` partitions that are
        run here, or from earlier runs of the same code.  Raises InputError or PayloadError as ``map`` does;
        what the function raises in a sample passes through.
        """
        from nbcluster.submitting.plan import make_plan, mode_of

        chosen = options_from(options)
        mode = mode_of(how)
        return make_plan(self.store, self.settings, function, items, mode, chosen, self.nodes_for(chosen), sample)

    def _submit(self, function: Any, source: Any, mode: str, given: dict[str, Any]) -> JobHandle:
        options = options_from(given)
        workers = self.workers()
        prepared = prepare(function, source, mode, options, self.nodes_for(options, workers), self.settings)
        return self.submit_prepared(prepared, workers, announce=options.announce)

    def share(self, value: Any) -> Shared:
        """Store a large input once, for functions that read it: ``big = nc.share(df)``, and ``big.value`` in them.

        What travels with functions and arguments is small then.  Each node fetches the value once, when
        it is first used there, and its processes share the memory.  An equal value is not stored twice.
        It stays until ``big.delete()``, or until the end of ``with nc.share(df) as big:``; ``nc.shares()`` lists
        what there is.  Raises CannotPickle or ValueNotStored.
        """
        from nbcluster.submitting.shares import share

        return share(self.store, value)

    def unshare(self, shared_id: str) -> None:
        """Delete a shared value by its id, or by how that begins.  Raises InputError unless that names just one."""
        from nbcluster.submitting.shares import remove_called

        remove_called(self.store, shared_id)

    def _fetch_shared(self, shared_id: str) -> payload.Body | None:
        from nbcluster.submitting.shares import fetch

        return None if self._closed else fetch(self.store, shared_id)

    def pipeline(self, name: str | None = None) -> Pipeline:
        """A job of several steps, to be said step by step and then ``run()``."""
        return Pipeline(self, name)

    def nodes_for(self, options: Options, workers: Sequence[Node] | None = None) -> Nodes:
        """The live nodes that may run a step with these options; without any, one with this machine's cores."""
        nodes = self.workers() if workers is None else workers
        able = candidates(nodes, require=rules_of(options).require)
        return Nodes(len(able), sum(one.slots for one in able) or usable_cores())

    def submit_prepared(
        self, prepared: Prepared, workers: Sequence[Node] | None = None, *, announce: bool
    ) -> JobHandle:
        """Store a job, or attach to the run of the same instance; gives its handle."""
        workers = self.workers() if workers is None else workers
        stored = store_job(self.store, prepared, self.settings, self.node_id, workers)
        fresh = stored.found is None
        handle = JobHandle(
            self,
            stored.row,
            [part.items for part in prepared.main.parts] if fresh else None,
            [only_step(stored.row)] if fresh and len(prepared.steps) == 1 else None,
        )
        handle.note = stored.note
        own = {step.name: step.own for step in prepared.steps if step.own is not None}
        if len(prepared.steps) > 1 or prepared.max_errors is not None or own:
            self.attend(stored.row, own)
        if stored.whole:
            self.finish_if_master(stored.row)
        if announce and stored.note:
            log.warning("%s; fresh=True runs it again", stored.note)
        return handle

    def attend(self, row: JobRow, own: Mapping[str, Callable[..., Any]] | None = None) -> None:
        """See to it at once, as the job's master, that its next steps start and that local ones run here."""
        coordinator = self.join().coordinator
        if row.master_node_id != self.node_id or row.status is not JobStatus.STARTED:
            return
        if own or coordinator.local.has(row.uid):
            coordinator.local.offer(row.job_execution_id, row.uid, own or {}, row.master_node_id)
        coordinator.watch(row.job_execution_id, row.term)

    def resume_job(self, row: JobRow, again: Sequence[int] = ()) -> JobRow | None:
        """A new execution of an ended job, of which this kernel is master; None when there is nothing to go on with."""
        local = self.join().coordinator.local
        resumed = self.store.jobs.resume(row.job_execution_id, self.node_id, again, own_local=local.has(row.uid))
        if resumed is None:
            return None
        found = self.row_of(resumed.job_execution_id)
        self.attend(found)
        return found

    def row_of(self, job_id: int) -> JobRow:
        """The job as it is now.  Raises UnknownJob."""
        return row_of(self.store, job_id)

    # --- look -------------------------------------------------------------------------

    def job(self, name_or_id: str | int) -> JobHandle:
        """The newest job of that name, or the one with that id, whoever submitted it.  Raises UnknownJob."""
        return JobHandle(self, self.row_called(name_or_id))

    def partitions(self, job: str | int) -> pd.DataFrame:
        """One row a partition of a job."""
        return self.job(job).partitions()

    def watch(self) -> None:
        """Show the whole cluster live in the running cell; it goes on when the cell has ended.

        Raises InputError outside of a notebook.
        """
        display.watch(self)

    def sql(self, query: str, /, **parameters: Any) -> pd.DataFrame:
        """Ask in SQL (DuckDB's): a frame of what ``query`` selects, with ``:name`` for each of ``parameters``.

        Tables of all jobs, read when the query names them: ``nodes`` and ``jobs`` with the columns of their frames;
        ``partitions``, ``attempts``, ``events`` (a row for each partition that one tells of), ``logs`` and
        ``results`` (a row an item) with job, name, step, partition and what ``help("nbcluster.query")`` lists.
        Frames that the caller can name are tables too, and so are parameters that are frames, your own tables in
        this database, and files (``FROM 'data/*.parquet'``, ``read_csv(...)``).  Only the columns that the query
        needs are read; nothing can be written.  Raises InputError, in one sentence with the place of the mistake.
        """
        from nbcluster.query import ask

        caller = sys._getframe(1)
        near: Mapping[str, Any] = {**caller.f_globals, **caller.f_locals}
        return ask(self, query, parameters, near.get)

    # --- leave ------------------------------------------------------------------------

    def close(self) -> None:
        """Leave the cluster and close every connection.  Running jobs go on."""
        with self._joining:
            if self._closed:
                return
            self._closed = True
            member, self._member = self._member, None
        try:
            if member is not None:
                member.leave()
        except DatabaseError as error:
            log.debug("left without deregistering: %s", error)
        finally:
            self.store.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _close_if_alive(reference: weakref.ref[Cluster]) -> None:
    cluster = reference()
    if cluster is not None:
        cluster.close()
