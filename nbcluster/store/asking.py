"""Tables for questions over all jobs, as columns: partitions, attempts, events, logs.  Nothing here opens a payload.

Only the columns that a question names travel.  What it says about the rows is used where that is easy: more rows than
it asks for may come, never fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, case, cast, func, null, select

from nbcluster.lifecycle import ExitCode, PartitionStatus
from nbcluster.store import bulk, itemrows
from nbcluster.store.bulk import MISSING, Columns, Field, Kind, Source
from nbcluster.store.engine import BULK, Database
from nbcluster.store.owntables import OwnTables
from nbcluster.store.stepnames import ABOUT_STEPS, StepNames, Wanted, looked_up
from nbcluster.store.tables import attempts, events, logs, partitions, step_execution

_P, _S, _A, _E = partitions.c, step_execution.c, attempts.c, events.c

_RUNNING = "RUNNING"
_OF_RUNNING = _P.status == PartitionStatus.CLAIMED
_CODES = tuple(word.value for word in ExitCode)

_PARTITIONS = {
    "partition": Field(_P.partition_index, Kind.WHOLE),
    "key": Field(_P.partition_key, Kind.TEXT),
    "state": Field(_P.status, Kind.TEXT, words=tuple(word.value for word in PartitionStatus)),
    "node": Field(_P.assigned_node, Kind.TEXT),
    "attempt": Field(_P.attempt, Kind.WHOLE),
    "items": Field(_P.item_count, Kind.WHOLE),
    "failed": Field(_P.failed_items, Kind.WHOLE),
    "exit_code": Field(_P.exit_code, Kind.TEXT, words=_CODES),
    "message": Field(_P.exit_message, Kind.TEXT, wide=True),
    "seconds": Field(_P.seconds, Kind.NUMBER),
    "progress": Field(_P.progress, Kind.NUMBER),
    "claimed": Field(_P.claimed_time, Kind.TIME),
    "ended": Field(_P.end_time, Kind.TIME),
}
_LAST_ATTEMPTS = {
    **{name: _PARTITIONS[name] for name in ("partition", "attempt", "node", "message", "claimed", "ended")},
    "outcome": Field(case((_OF_RUNNING, _RUNNING), else_=func.coalesce(_P.exit_code, _P.status)), Kind.TEXT,
                     words=(_RUNNING, *_CODES)),
    "seconds": Field(case((_OF_RUNNING, null()), else_=_P.seconds), Kind.NUMBER),
    "peak_memory": Field(cast(null(), BigInteger), Kind.WHOLE),
}  # fmt: skip
_ENDED_ATTEMPTS = {
    "partition": _PARTITIONS["partition"],
    "attempt": Field(_A.attempt, Kind.WHOLE),
    "node": Field(_A.node_id, Kind.TEXT),
    "outcome": Field(_A.outcome, Kind.TEXT),
    "message": Field(_A.message, Kind.TEXT, wide=True),
    "seconds": Field(_A.seconds, Kind.NUMBER),
    "peak_memory": Field(_A.peak_memory, Kind.WHOLE),
    "claimed": Field(_A.claimed_time, Kind.TIME),
    "ended": Field(_A.end_time, Kind.TIME),
}
_EVENTS = {
    "time": Field(_E.event_time, Kind.TIME),
    "phase": Field(_E.phase, Kind.TEXT),
    "job": Field(_E.job_execution_id, Kind.WHOLE),
    "node": Field(_E.node_id, Kind.TEXT),
    "detail": Field(_E.detail, Kind.TEXT, wide=True),
}
_LOGS = {
    "partition": _PARTITIONS["partition"],
    "attempt": Field(logs.c.attempt, Kind.WHOLE),
    "text": Field(logs.c.body, Kind.BYTES, wide=True),
}
_ID, _STEP, _MEMBERS = " id", " step", " members"
"""Columns that nobody asked for: their names cannot be those of any that one asks for."""


def _kinds(fields: Mapping[str, Field], *first: str) -> dict[str, Kind]:
    """The columns of a table, in their order."""
    about = {"job": Kind.WHOLE, "name": Kind.TEXT, "step": Kind.TEXT, "partition": Kind.WHOLE}
    return {name: about[name] for name in first} | {name: one.kind for name, one in fields.items()}


PARTITIONS = _kinds(_PARTITIONS, *ABOUT_STEPS)
ATTEMPTS = _kinds(_ENDED_ATTEMPTS, *ABOUT_STEPS)
LOGS = _kinds(_LOGS, *ABOUT_STEPS) | {"text": Kind.TEXT}
EVENTS = {name: _kinds(_EVENTS, "name", "step", "partition").get(name, Kind.WHOLE)
          for name in ("time", "phase", "job", "name", "step", "partition", "attempt", "node", "detail")}  # fmt: skip


class Asking:
    """Columns of all jobs' rows; ``Wanted`` names those that there are in PARTITIONS, ATTEMPTS, EVENTS and LOGS."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.own = OwnTables(database)

    def partitions(self, wanted: Wanted) -> Columns:
        """Every partition."""
        return self._of_steps(Source(partitions, _P.step_execution_id), _PARTITIONS, wanted)

    def attempts(self, wanted: Wanted) -> Columns:
        """Every attempt, the last one of each partition too."""
        import numpy as np

        begun = (_P.attempt > 0, _P.status != PartitionStatus.PENDING)
        told = partitions.join(attempts, _A.step_execution_id == _P.step_execution_id)
        keys = {_ID: Field(_P.step_execution_id, Kind.WHOLE)}
        # What else is said of an attempt must not be checked before it is known which of its two rows tells of it.
        alike = tuple(one for one in wanted.conditions if one.column in (*ABOUT_STEPS, "partition", "attempt"))
        both = Wanted(wanted.columns | {_ID, "attempt"}, alike)
        last = self._of_steps(Source(partitions, _P.step_execution_id, begun), _LAST_ATTEMPTS | keys, both)
        ended = self._of_steps(Source(told, _P.step_execution_id), _ENDED_ATTEMPTS | keys, both)
        # What was written down at its end knows more than the partition's row.
        known = np.isin(_attempt_ids(last), _attempt_ids(ended))
        return last.kept(~known).and_then(ended)

    def events(self, wanted: Wanted) -> Columns:
        """One row an event and partition that it tells of; one alone where it tells of none."""
        steps = StepNames.read(self._database, wanted)
        named = {name: one for name, one in _EVENTS.items() if name in wanted.columns}
        hidden = {_MEMBERS: Field(_E.members, Kind.TEXT, wide=True)}
        if {"name", "step"} & wanted.columns:
            hidden |= {_STEP: Field(_E.step_execution_id, Kind.WHOLE), "job": _EVENTS["job"]}
        where = [*wanted.pushed(_EVENTS), *steps.where_events(_E.job_execution_id, _E.step_execution_id)]
        source = Source(events, _E.event_id, where)
        found = bulk.read(self._database, source, named | hidden, BULK)
        if _STEP in found.arrays:
            found.arrays |= steps.around(found.arrays["job"], found.arrays.pop(_STEP))
        return self._by_member(found, wanted)

    def logs(self, wanted: Wanted) -> Columns:
        """What every attempt printed."""
        mine = func.coalesce(_P.result_of, _P.step_execution_id)
        source = Source(partitions.join(logs, logs.c.step_execution_id == mine), _P.step_execution_id)
        found = self._of_steps(source, _LOGS, wanted)
        if "text" in found.arrays:
            texts = [body.decode("utf-8", "replace") for body in found.arrays["text"]]
            found.arrays["text"] = bulk.as_array(texts, Kind.TEXT)
        return found

    def items(self, wanted: Wanted) -> Columns:
        """Every item of what is final, without its value; ``seconds`` is NaN for one that has none."""
        about = tuple(one for one in wanted.conditions if one.column in ABOUT_STEPS)
        source, fields = itemrows.fields_of(wanted.columns)
        read = Wanted(wanted.columns | frozenset(fields), about)
        return itemrows.by_item(self._of_steps(source, fields, read))

    def ended_steps(self, wanted: Wanted) -> list[tuple[int, str]]:
        """The ids of the jobs and the names of their steps that have final partitions, in their order."""
        statement = (
            select(_S.job_execution_id, _S.step_name, _S.step_execution_id)
            .where(select(_P.step_execution_id).where(_P.master_step_execution_id == _S.step_execution_id,
                                                      _P.end_time.is_not(None) | _P.result_of.is_not(None)).exists())
            .order_by(_S.job_execution_id, _S.position)
        )  # fmt: skip
        found = self._database.read(lambda connection: connection.execute(statement).all(), patience=BULK)
        steps = StepNames.read(self._database, wanted)
        return [(job, step) for job, step, step_id in found if steps.may_be_meant(step_id)]

    def _of_steps(self, source: Source, fields: Mapping[str, Field], wanted: Wanted) -> Columns:
        """Rows that belong to partitions, with the job, the name and the step of each."""
        chosen = {name: one for name, one in fields.items() if name in wanted.columns}
        where = [*source.where, *wanted.pushed(fields)]
        if not wanted.names_steps:
            return bulk.read(self._database, Source(source.rows, source.key, where), chosen, BULK)
        steps = StepNames.read(self._database, wanted)
        where += steps.where(_P.master_step_execution_id)
        chosen[_STEP] = Field(_P.master_step_execution_id, Kind.WHOLE)
        found = bulk.read(self._database, Source(source.rows, source.key, where), chosen, BULK)
        return steps.told(found, found.arrays.pop(_STEP), wanted.columns)

    def _by_member(self, found: Columns, wanted: Wanted) -> Columns:
        """Each event as often as it tells of partitions."""
        import numpy as np

        members = [text or "" for text in found.arrays.pop(_MEMBERS)]
        counts = np.array([text.count(":") for text in members], dtype=np.int64)
        every = np.repeat(np.arange(found.rows), np.maximum(counts, 1))
        rows = Columns(len(every), {name: array[every] for name, array in found.arrays.items()})
        if {"partition", "attempt"} & wanted.columns:
            pairs = np.array(" ".join(filter(None, members)).replace(":", " ").split(), dtype=np.int64).reshape(-1, 2)
            told = np.full((rows.rows, 2), MISSING)
            told[counts[every] > 0] = pairs
            rows.arrays["attempt"] = told[:, 1]
            if "partition" in wanted.columns:
                rows.arrays["partition"] = self._indexes(told[:, 0])
        return rows

    def _indexes(self, ids: Any) -> Any:
        """The numbers within their steps of partitions with these ids."""
        import numpy as np

        known = ids[ids != MISSING]
        if not len(known):
            return ids
        near = _P.step_execution_id.between(int(known.min()), int(known.max()))
        fields = {_ID: Field(_P.step_execution_id, Kind.WHOLE), "partition": _PARTITIONS["partition"]}
        places = bulk.read(self._database, Source(partitions, _P.step_execution_id, [near]), fields, BULK)
        order = np.argsort(places.arrays[_ID], kind="stable")
        return looked_up(ids, places.arrays[_ID][order], places.arrays["partition"][order], MISSING)


def _attempt_ids(found: Columns) -> Any:
    """One whole number for each attempt of each partition."""
    return found.arrays[_ID] * 2**20 + found.arrays["attempt"]
