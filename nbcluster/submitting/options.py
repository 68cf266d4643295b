"""The options of ``map`` and its siblings, and what each of them may be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, SupportsIndex

from nbcluster.config import Settings, parse_duration
from nbcluster.depot.folders import checked_address
from nbcluster.errors import InputError
from nbcluster.labels import parse_requirements

PRINTABLE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,100}")
"""What may name a job or a step."""

_ERROR_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*|\.<locals>)*")
_LARGEST = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """What ``map`` and its siblings take besides the function and the input."""

    name: str | None = None
    chunk: int | None = None
    partitions: int | None = None
    strategy: Any = "round_robin"
    nodes: int | None = None
    transferable: bool = True
    max_capture: Any = None
    ship: Any = None
    source: str | None = None
    fresh: bool = False
    cache: bool = False
    announce: bool = True
    """Whether what ``handle.note`` says is logged too."""
    retries: int = 0
    retry_on: Any = None
    retry_wait: Any = 1.0
    timeout: Any = None
    max_errors: int | None = None
    priority: int = 0
    require: Any = None
    pin: str | None = None
    results: str | None = None
    """Where large values travel: ``file:///share/values`` or ``s3://bucket/folder``."""
    into: Any = None
    if_exists: str | None = None
    aggregate: Callable[[list[Any]], Any] | str | None = None
    on_success: Callable[..., Any] | None = None
    on_failure: Callable[..., Any] | None = None


def options_from(given: dict[str, Any], known: Iterable[str] = Options.__dataclass_fields__) -> Options:
    """The options that a call was given by name.  Raises InputError for one that there is not."""
    known = tuple(known)
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InputError(f"unknown option {', '.join(unknown)}; known are {', '.join(known)}")
    return Options(**given)


@dataclass(frozen=True, slots=True)
class Rules:
    """How the partitions of a step are treated, checked.  Durations in seconds."""

    retries: int = 0
    retry_on: tuple[str, ...] | None = None
    retry_wait: float = 1.0
    timeout: float | None = None
    require: tuple[str, ...] = ()


def rules_of(options: Options) -> Rules:
    """The checked rules of a step.  Raises InputError or ConfigError with one sentence."""
    return Rules(
        retries=_whole(options.retries, "retries"),
        retry_on=_error_names(options.retry_on),
        retry_wait=0.0 if options.retry_wait in (0, "0") else parse_duration(options.retry_wait, "retry_wait"),
        timeout=None if options.timeout is None else parse_duration(options.timeout, "timeout"),
        require=parse_requirements(options.require, options.pin),
    )


def limit_of(options: Options) -> int | None:
    """How many items may fail before the rest is not begun."""
    return None if options.max_errors is None else _whole(options.max_errors, "max_errors")


def address_of(options: Options, settings: Settings) -> str | None:
    """Where the large values of a job travel; None for the place that the database says.  Raises InputError."""
    given = settings.results or None if options.results is None else options.results
    return None if given is None else checked_address(given)


def priority_of(options: Options) -> int:
    """The priority of a job: higher ones are claimed first."""
    return _whole(options.priority, "priority", least=-_LARGEST)


def caches(options: Options) -> bool:
    """Whether results are taken from the cache and given to it.  Raises InputError."""
    if not isinstance(options.cache, bool):
        raise InputError(f"cache is {options.cache!r}; it must be True or False")
    return options.cache


def checked_callable(value: Any, name: str) -> Any:
    """A function that is shipped with the job.  Raises InputError for anything else."""
    if not callable(value):
        raise InputError(f"{name} must be a function, not {type(value).__name__}")
    return value


def _whole(value: Any, name: str, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or not least <= int(value) <= _LARGEST:
        wish = f"of at least {least}" if least == 0 else "between -2147483647 and 2147483647"
        raise InputError(f"{name} is {value!r}; it must be a whole number {wish}")
    return int(value)


def _error_names(given: Any) -> tuple[str, ...] | None:
    """The types that are worth a retry, by name: ``ValueError``, ``requests.exceptions.Timeout``."""
    if given is None:
        return None
    several = given if isinstance(given, (list, tuple, set, frozenset)) else [given]
    names = tuple(dict.fromkeys(_error_name(one) for one in several))
    if not names:
        raise InputError("retry_on names no exception type; leave it out to retry after any error")
    return names


def _error_name(given: Any) -> str:
    if isinstance(given, type) and issubclass(given, BaseException):
        module = "" if given.__module__ in ("builtins", "__main__") else f"{given.__module__}."
        return f"{module}{given.__qualname__}"
    if isinstance(given, str) and _ERROR_NAME.fullmatch(given):
        return given
    raise InputError(
        f"retry_on holds {str(given)[:60]!r}, which is no exception type; write for example retry_on=[OSError, "
        "'requests.exceptions.Timeout']"
    )
