"""What all tables share: the version, the names of constraints, the lengths that must agree."""

from __future__ import annotations

from sqlalchemy import MetaData

SCHEMA_VERSION = 4

NODE_ID_LENGTH = 200
KEY_LENGTH = 100
NAME_LENGTH = 100

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "%(constraint_name)s_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
