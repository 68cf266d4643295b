"""The jobs and steps that rows belong to: read once, instead of joined to each of a million rows."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, select

from nbcluster.store.bulk import Columns, Field, Kind
from nbcluster.store.engine import BULK, Database
from nbcluster.store.tables import job_execution, job_instance, step_execution

ABOUT_STEPS = ("job", "name", "step")

_FEW = 500
"""Up to so many steps are named to the database; of more it reads all rows."""

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Condition:
    """What all rows that are wanted meet: ``operator`` is one of = < <= > >=, ``value`` what the column is held to."""

    column: str
    operator: str
    value: int | str

    def met_by(self, value: Any) -> Any:
        """Whether a value (or, as SQL, a column) meets it."""
        return _OPERATORS[self.operator](value, self.value)

    def fits(self, kind: Kind) -> bool:
        """Whether a database may be asked: its order of texts is its own affair."""
        if isinstance(self.value, int):
            return kind is Kind.WHOLE
        return kind is Kind.TEXT and self.operator == "="


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a question needs of a table: these columns, of rows that meet all conditions."""

    columns: frozenset[str]
    conditions: tuple[Condition, ...] = ()

    @property
    def names_steps(self) -> bool:
        """Whether it matters which step a row belongs to."""
        return not {*self.columns, *(one.column for one in self.conditions)}.isdisjoint(ABOUT_STEPS)

    def pushed(self, fields: Mapping[str, Field]) -> Iterator[ColumnElement[bool]]:
        """Those conditions that the database can check by itself."""
        for one in self.conditions:
            field = fields.get(one.column)
            if field is not None and isinstance(field.expression, Column) and one.fits(field.kind):
                yield one.met_by(field.expression)


class StepNames:
    """The steps that a question may mean, by their ids."""

    def __init__(self, rows: list[Any], wanted: Wanted) -> None:
        conditions = [one for one in wanted.conditions if one.column in ABOUT_STEPS]
        self._rows = [row for row in rows if all(one.met_by(getattr(row, one.column)) for one in conditions)]
        self._named = {one.column for one in conditions}
        self._some = len(self._rows) < len(rows)
        self._ids = {row.id for row in self._rows}

    @classmethod
    def read(cls, database: Database, wanted: Wanted) -> StepNames:
        """All steps that meet the conditions."""
        statement = (
            select(
                step_execution.c.step_execution_id.label("id"),
                job_execution.c.job_execution_id.label("job"),
                job_instance.c.job_name.label("name"),
                step_execution.c.step_name.label("step"),
            )
            .join(job_execution, job_execution.c.job_execution_id == step_execution.c.job_execution_id)
            .join(job_instance, job_instance.c.job_instance_id == job_execution.c.job_instance_id)
            .order_by(step_execution.c.step_execution_id)
        )
        return cls(database.read(lambda connection: list(connection.execute(statement)), patience=BULK), wanted)

    def may_be_meant(self, step_id: int) -> bool:
        """Whether this step meets the conditions."""
        return step_id in self._ids

    def where(self, column: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """That a row belongs to one of them, if they are few."""
        return [column.in_(sorted(self._ids))] if self._some and len(self._ids) <= _FEW else []

    def where_events(self, job: ColumnElement[int], step: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """The same for events, which may tell of a job without a step, and of jobs that were deleted."""
        if "step" in self._named:
            return self.where(step)
        jobs = {row.job for row in self._rows}
        return [job.in_(sorted(jobs))] if "name" in self._named and len(jobs) <= _FEW else []

    def told(self, found: Columns, steps: Any, columns: frozenset[str]) -> Columns:
        """The rows whose step is one of them, with its job, name and step; ``steps`` has the id of each row's."""
        import numpy as np

        places = looked_up(steps, self._column("id"), np.arange(len(self._rows)), -1)
        known = places >= 0
        if not known.all():  # a step that came after the names were read
            found, places = found.kept(known), places[known]
        found.arrays |= {name: self._column(name)[places] for name in ABOUT_STEPS if name in columns}
        return found

    def around(self, jobs: Any, steps: Any) -> dict[str, Any]:
        """The names of jobs and steps with these ids, None for what is not among them."""
        import numpy as np

        of_jobs = dict(sorted((row.job, row.name) for row in self._rows))
        ids = np.array(list(of_jobs), dtype=np.int64)
        names = np.array(list(of_jobs.values()), dtype=object)
        return {
            "name": looked_up(jobs, ids, names, None),
            "step": looked_up(steps, self._column("id"), self._column("step"), None),
        }

    def _column(self, name: str) -> Any:
        import numpy as np

        kind: Any = np.int64 if name in ("id", "job") else object
        return np.array([getattr(row, name) for row in self._rows], dtype=kind)


def looked_up(wanted: Any, keys: Any, values: Any, missing: Any) -> Any:
    """For each of ``wanted`` the value whose key it is (``keys`` are in order), or ``missing``."""
    import numpy as np

    if not len(keys):
        return np.full(len(wanted), missing, dtype=values.dtype)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], missing)
