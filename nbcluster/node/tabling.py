"""The child's side of a table: the values of a complete partition become rows, and each value its number of rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nbcluster.errors import InputError, TooLarge
from nbcluster.errortext import base_names
from nbcluster.rows.encoding import Encoded, encode
from nbcluster.rows.shaping import NoRows, shape
from nbcluster.rows.target import Table

REFUSED = "InputError"
"""The type of the error that an item without rows has."""


@dataclass(frozen=True, slots=True)
class Tabled:
    """What became of a partition's values: its rows, or why there are none.

    ``complaints`` has the reason for each item that spoils them; with one, nothing is written.
    ``raised`` names the types of an error that may pass: the values are as they should be.
    """

    counts: Sequence[int] = ()
    rows: Encoded | None = None
    complaints: dict[int, str] = field(default_factory=dict)
    raised: Sequence[str] = ()


def tabled(
    into: Table, values: Sequence[Any], form: str, limit: int, room: str | None = None, large: int = 0
) -> Tabled:
    """The rows of a complete partition, in the ``form`` that the database takes, up to ``limit`` bytes.

    Those of more than ``large`` bytes are in the file ``room`` then.
    Those for another database than the cluster's are written at once, and ``rows`` is None.
    """
    try:
        found = shape(values)
        if into.url is None:
            return Tabled(found.counts, encode(found, form, limit, room, large))
        from nbcluster.rows import elsewhere  # and with it SQLAlchemy

        elsewhere.write(into, encode(found, elsewhere.form_of(into), limit))
        return Tabled(found.counts)
    except NoRows as error:
        return Tabled(complaints={error.item: f"{error}; no row of its partition was written"})
    except OSError as error:
        at = os.path.dirname(room or "")
        message = (
            f"its rows cannot be written to {at}: {error.strerror}; make room there, or make the partitions smaller"
        )
        return Tabled(complaints=dict.fromkeys(range(len(values)), message), raised=base_names(error))
    except (InputError, TooLarge) as error:
        message = f"{error}; no row of this partition was written into {into.name}"
        raised = base_names(error.__cause__) if error.__cause__ is not None else ()
        return Tabled(complaints=dict.fromkeys(range(len(values)), message), raised=raised)
