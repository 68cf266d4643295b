"""DataFrames one below the other, with the dtypes that they came with."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import pandas as pd
from pandas.api.types import union_categoricals

from nbcluster.frames.columns import nullable


def stacked(values: Sequence[Any], failed: Sequence[bool]) -> tuple[pd.DataFrame, list[int]] | None:
    """The rows of all frames, and the item of each row; an item that failed has one row, in which all is missing.

    A None and a frame without rows give no row.  An index that has a name, or is not of whole numbers, becomes columns.
    None when the frames cannot stand below one another, because their columns repeat and differ.
    """
    places = [place for place, bad in enumerate(failed) if not bad and values[place] is not None]
    frames = _with_index([pd.DataFrame(values[place]) for place in places])
    items: list[int] = []
    rows: list[int] = []
    at = 0
    lengths = dict(zip(places, map(len, frames), strict=True))
    for place, bad in enumerate(failed):
        length = 1 if bad else lengths.get(place, 0)
        items += [place] * length
        rows += [-1] if bad else range(at, at + length)
        at += 0 if bad else length
    if len({tuple(frame.columns) for frame in frames}) > 1 and any(not frame.columns.is_unique for frame in frames):
        return None
    whole = _below([frame for frame in frames if len(frame)] or frames, promote=any(failed))
    return (whole.reindex(rows).reset_index(drop=True) if any(failed) else whole), items


def flat(labels: pd.Index[Any]) -> list[Hashable]:
    """Labels of several levels as one text each; others as they are."""
    if isinstance(labels, pd.MultiIndex):
        return ["_".join(str(part) for part in label if part != "") for label in labels]
    return list(labels)


def _with_index(frames: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """Frames whose index is a plain numbering; what it told otherwise is in their columns."""
    for frame in frames:
        frame.columns = pd.Index(flat(frame.columns), tupleize_cols=False)
    return [frame.reset_index(drop=not _tells(frame.index), allow_duplicates=True) for frame in frames]


def _tells(index: pd.Index[Any]) -> bool:
    """Whether an index says more than the number of a row.

    Numbers without a name do not.  That they are those of a filtered frame cannot be seen from the index of each
    part: pandas makes a plain numbering of any two of them.
    """
    return index.nlevels > 1 or index.name is not None or (len(index) > 0 and index.dtype.kind not in "iu")


def _below(frames: list[pd.DataFrame], *, promote: bool) -> pd.DataFrame:
    """All frames as one.  ``promote``: rows in which everything is missing will come among them."""
    if len(frames) == 1 and not promote:
        return frames[0]
    everywhere = set[Hashable].intersection(*(set(flat(frame.columns)) for frame in frames))
    known = list(dict.fromkeys(label for frame in frames for label in frame.columns))
    categories = _categories(frames, known)
    ready = [_readied(frame, set() if promote else everywhere, categories) for frame in frames]
    return pd.concat(ready, ignore_index=True, sort=False)


def _readied(frame: pd.DataFrame, complete: set[Hashable], categories: dict[Hashable, Any]) -> pd.DataFrame:
    """The frame with columns that may miss values, but for those that are ``complete``, and with these categories."""
    changed = frame.copy(deep=False)
    for place, label in enumerate(frame.columns):
        column = frame.iloc[:, place]
        wanted = categories.get(label, column.dtype if label in complete else nullable(column.dtype))
        if wanted != column.dtype:
            changed.isetitem(place, column.astype(wanted).array)
    return changed


def _categories(frames: Iterable[pd.DataFrame], labels: Iterable[Hashable]) -> dict[Hashable, Any]:
    """One dtype for each column that holds categories everywhere, but not the same ones."""
    found: dict[Hashable, Any] = {}
    whole = [frame for frame in frames if frame.columns.is_unique]
    for label in labels:
        columns = [frame[label] for frame in whole if label in frame.columns]
        dtypes = [column.dtype for column in columns]
        if not dtypes or not all(isinstance(dtype, pd.CategoricalDtype) for dtype in dtypes) or len(set(dtypes)) == 1:
            continue
        kinds = {dtype.categories.dtype for dtype in dtypes}  # type: ignore[union-attr]
        if len(kinds) == 1 and not any(dtype.ordered for dtype in dtypes):  # type: ignore[union-attr]
            found[label] = union_categoricals([column.array for column in columns]).dtype
    return found
