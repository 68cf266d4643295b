"""The cache of results: what a partition computes, as a key, and what is known for it already.

A key tells code, mode and input of one partition, with this Python and the versions of the packages that the code
refers to.  It is made of what these consist of, and never of the bytes of a pickle: equal
ones get equal keys in any kernel, also a colleague's.  Code or input that cannot be told
apart from something else is not cached.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from nbcluster import payload
from nbcluster.cachedresult import CachedResult
from nbcluster.member import PYTHON
from nbcluster.partitioners.base import Part
from nbcluster.signing import is_genuine
from nbcluster.store import Store
from nbcluster.submitting import identity

log = logging.getLogger(__name__)

PARTITIONS = 32
"""Into how many partitions cached input is split unless something else is asked for, whatever nodes there are."""

_FORMAT = 1


def keys_of(function: Callable[..., Any], mode: str, parts: Sequence[Part]) -> tuple[str | None, ...]:
    """What each partition computes, as a digest; None where that cannot be told, which is logged."""
    code = identity.identified(function)
    if code.doubt:
        log.warning("nothing is cached: the function holds %s", code.doubt)
        return (None,) * len(parts)
    same = (_FORMAT, PYTHON, mode, code.digest, _versions(payload.packages_of(function)))
    given = [identity.identified(part.value) for part in parts]
    doubts = [one.doubt for one in given if one.doubt]
    if doubts:
        log.warning("%d of %d partitions are not cached: they hold %s", len(doubts), len(parts), doubts[0])
    return tuple(None if one.doubt else identity.combined((*same, one.digest)) for one in given)


def _versions(packages: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _version(name)) for name in sorted(packages))


def _version(name: str) -> str:
    """The version of a package by what it is imported as; empty for one's own modules, whose text counts."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # it is installed under another name, or not at all
        return str(getattr(sys.modules.get(name), "__version__", ""))


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier jobs computed for the partitions of a step, checked; None for each that nobody computed.

    ``gone`` are keys whose entries lead nowhere, ``altered`` those that no node of this cluster signed.
    """

    results: tuple[CachedResult | None, ...]
    gone: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()


def known(store: Store, keys: Sequence[str | None]) -> Known:
    """What the cache has for these keys.  Only reads."""
    found, gone = store.cached.find({key for key in keys if key is not None})
    genuine = {one.key: one for one in found if is_genuine(store.signer, one)}
    altered = tuple(one.key for one in found if one.key not in genuine)
    return Known(tuple(None if key is None else genuine.get(key) for key in keys), tuple(gone), altered)


def taken(store: Store, keys: Sequence[str | None]) -> tuple[CachedResult | None, ...]:
    """The results that a job takes over.  Useless entries are dropped: the next results of their keys are entered."""
    found = known(store, keys)
    if found.altered:
        log.warning(
            "%d entries of the cache are not signed with this cluster's key: they are dropped and their partitions run",
            len(found.altered),
        )
    store.cached.drop([*found.gone, *found.altered])
    return found.results
