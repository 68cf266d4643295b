"""Periods of time: days, months, hours, one for each part."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from nbcluster.errors import InputError
from nbcluster.partitioners.base import Part, Singles, several

if TYPE_CHECKING:
    import pandas

_MOST = 1_000_000


@dataclass(frozen=True)
class Dates(Singles):
    """Periods; the function gets a ``pandas.Period``, or a list of them where several are a part."""

    periods: pandas.PeriodIndex
    chunk: int | None = None
    partitions: int | None = None

    def things(self) -> Sequence[pandas.Period]:
        return list(self.periods)

    def key_of(self, thing: pandas.Period) -> str:
        return str(thing)

    def in_chunks(self, chunk: int) -> Dates:
        return replace(self, chunk=chunk, partitions=None)

    def in_partitions(self, partitions: int) -> Dates:
        return replace(self, chunk=None, partitions=partitions)

    def identity(self, _parts: Sequence[Part]) -> Any:
        return "dates", self.periods.freqstr, str(self.periods[0]), len(self.periods)

    def __repr__(self) -> str:
        shown = several(len(self.periods), "period")
        return f"dates({str(self.periods[0])!r}, {str(self.periods[-1])!r}, {self.periods.freqstr!r}): {shown}"


def dates(start: Any, end: Any, freq: str = "D") -> Dates:
    """Split the time from ``start`` to ``end``, both included, into periods of ``freq``.

    ``start`` and ``end`` are dates as pandas reads them: ``"2013-01"``, a ``date``, a ``Timestamp``; each means all
    that it names, so ``"2013-12"`` as the end is the whole of December.  ``freq`` is ``"D"``, ``"W"``, ``"M"``,
    ``"Q"``, ``"Y"``, ``"h"``, ``"15min"`` and what else a pandas Period knows.  The function gets a
    ``pandas.Period`` (``p.start_time``, ``p.end_time``); with ``chunk=`` or ``partitions=`` ``map_partitions``
    gives it a list of them.  The last of ``"5M"`` may reach beyond the end.  Raises InputError.
    """
    frequency = _frequency(freq)
    first, last = _period(start, frequency, "start"), _period(end, frequency, "end")
    if last < first:
        raise InputError(f"nb.dates: it would end ({last}) before it begins ({first}); exchange the two")
    count = (last.ordinal - first.ordinal) // frequency.n + 1
    if count > _MOST:
        raise InputError(f"nb.dates: {count:,} periods of {freq!r} are more than {_MOST:,}; take longer ones")
    import pandas

    return Dates(pandas.period_range(first, last, freq=frequency))


def _frequency(freq: Any) -> Any:
    """The pandas offset of a frequency that periods can have."""
    import pandas

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what pandas will no longer take is not taken
            frequency: Any = pandas.tseries.frequencies.to_offset(freq, is_period=True)
            pandas.Period("2000-01-01", freq=frequency)
    except (ValueError, TypeError, AttributeError, Warning) as error:
        raise InputError(
            f"nb.dates: {freq!r} is no frequency of periods; write 'D', 'W', 'M', 'Q', 'Y', 'h', '15min' or the like"
        ) from error
    return frequency


def _period(given: Any, frequency: Any, name: str) -> pandas.Period:
    """The first period of what ``start`` names, the last of what ``end`` names."""
    import pandas

    try:
        zone = pandas.Timestamp(given).tzinfo if isinstance(given, str) else getattr(given, "tzinfo", None)
    except ValueError:  # such as 2013Q1, or no date: the period says
        zone = None
    if isinstance(given, (int, float)):
        raise InputError(f"nb.dates: {name} is {given!r}, which is a number; write the date as text, '{given}'")
    if zone is not None:
        raise InputError(f"nb.dates: {name} is {given}, but periods know no time zone; give it without one")
    try:
        period: Any = _as_named(given, frequency)
    except (ValueError, TypeError) as error:
        raise InputError(f"nb.dates: {name} is {given!r}, which is no date ({error})") from error
    if period is pandas.NaT:
        raise InputError(f"nb.dates: {name} is {given!r}, which is no date")
    return cast("pandas.Period", period.asfreq(frequency, how=name))


def _as_named(given: Any, frequency: Any) -> Any:
    import pandas

    if isinstance(given, (str, pandas.Period)):
        return pandas.Period(given)
    if isinstance(given, datetime.date) and not isinstance(given, datetime.datetime):
        return pandas.Period(given, freq="D")
    return pandas.Period(given, freq=frequency)
