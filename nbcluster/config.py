"""Settings: one frozen object, checked once, from one list of names.

Where a value comes from, first wins: the call's argument or option, the
environment (``NBCLUSTER_HEARTBEAT_INTERVAL``), ``nbcluster.toml`` found upwards
from the working directory, ``~/.config/nbcluster/config.toml``, the default.
Durations are seconds (a bare number) or carry a unit: ``500ms``, ``3s``, ``2m``,
``1h30m``.  Sizes are bytes or carry one: ``64MB``, ``1GB``.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbcluster.errors import ConfigError
from nbcluster.labels import parse_labels

LARGE_VALUE = 10**6
"""Bytes above which a value is large unless a setting says otherwise."""

MAX_RESULT = (1 << 30) + (1 << 20)
"""A gigabyte in either way of counting, and what such a value is wrapped in."""

_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*((?:[kMGT]i?)?B?)", re.IGNORECASE)
_MOST_SLOTS = 1000
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def parse_duration(text: object, name: str = "duration") -> float:
    """Seconds from ``3``, ``"3"``, ``"3s"``, ``"500ms"`` or ``"1h30m"``."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        value = float(text)
    else:
        word = str(text).strip()
        try:
            value = float(word)
        except ValueError:
            parts = _DURATION_PART.findall(word)
            if not parts or "".join(number + unit for number, unit in parts) != word:
                raise ConfigError(
                    f"{name}: {word!r} is no duration; write for example 3s, 500ms or 2m (a bare number is seconds)"
                ) from None
            value = sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
    if not math.isfinite(value) or value <= 0:
        raise ConfigError(f"{name}: {text} is no positive duration; write for example 3s, 500ms or 2m")
    return value


def parse_size(text: object, name: str = "size") -> int:
    """Bytes from ``1000``, ``"64MB"`` or ``"1.5 GiB"``."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        value = float(text)
    else:
        match = _SIZE.fullmatch(str(text).strip())
        if not match:
            raise ConfigError(f"{name}: {text!r} is no size; write for example 64MB or 1GB")
        unit = match[2].lower().rstrip("b")
        step = 1024 if unit.endswith("i") else 1000
        value = float(match[1]) * step ** (" kmgt".index(unit[0]) if unit else 0)
    if not math.isfinite(value) or value < 1:
        raise ConfigError(f"{name}: {text} is no size; write for example 64MB or 1GB")
    return int(value)


def parse_count(text: object, name: str = "count") -> int:
    """A whole number of at least 1."""
    try:
        value = int(str(text).strip())
    except ValueError:
        raise ConfigError(f"{name}: {text!r} is no whole number; write 1 or more") from None
    if value < 1:
        raise ConfigError(f"{name}: {value} is too few; write 1 or more")
    return value


def parse_slots(text: object, name: str = "slots") -> int:
    """How many children a node may have."""
    value = parse_count(text, name)
    if value > _MOST_SLOTS:
        raise ConfigError(f"{name}: {value} is too many processes for one node; write {_MOST_SLOTS} or less")
    return value


def parse_prefix(text: object, name: str = "node-id-prefix") -> str:
    """The readable part of a node id: what people see and pin to."""
    word = str(text).strip()
    if not _PREFIX.fullmatch(word):
        shown = word if len(word) <= 40 else word[:40] + "..."
        raise ConfigError(
            f"{name}: {shown!r} ({len(word)} characters) cannot name a node; "
            "use at most 100 letters, digits, dots, dashes and underscores"
        )
    return word


def _one_of(*words: str) -> Callable[[object, str], str]:
    def parse(text: object, name: str) -> str:
        if str(text) not in words:
            raise ConfigError(f"{name}: {text!r} is not one of {', '.join(words)}")
        return str(text)

    return parse


def _text(text: object, name: str) -> str:
    return str(text)


def usable_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _host_prefix() -> str:
    """This machine's name, cut to what a node id may hold."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:100]
    return name if _PREFIX.fullmatch(name) else "node"


def state_directory() -> Path:
    """Where this user's embedded database lives."""
    base = os.environ.get("XDG_STATE_HOME") or os.path.join(Path.home(), ".local", "state")
    return Path(base) / "nbcluster"


def config_directory() -> Path:
    """Where this user's settings and cluster keys live."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(Path.home(), ".config")
    return Path(base) / "nbcluster"


_RELATIVE_FILE = re.compile(r"(sqlite(?:\+\w+)?:///)(?![/:])(.+)")


def _url(value: object, name: str) -> str:
    """A file is named by its whole path: nodes, and this process after ``os.chdir``, must find the same one."""
    text = _text(value, name)
    relative = _RELATIVE_FILE.fullmatch(text)
    return f"{relative[1]}{Path(relative[2]).absolute()}" if relative else text


def default_url() -> str:
    """The per-user embedded database, used when no URL is given."""
    return f"sqlite:///{state_directory() / 'cluster.db'}"


def _setting(parse: Callable[[object, str], Any], default: Any, doc: str) -> Any:
    metadata = {"parse": parse, "doc": doc}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, checked.  Durations in seconds, sizes in bytes."""

    url: str = _setting(_url, default_url, "SQLAlchemy URL of the database")
    slots: int = _setting(parse_slots, usable_cores, "partitions that a node runs at once")
    heartbeat_interval: float = _setting(parse_duration, 3.0, "time between two heartbeats of a node")
    unreachable_node_threshold: float = _setting(parse_duration, 10.0, "silence after which a node's work is moved")
    node_cleanup_threshold: float = _setting(parse_duration, 30.0, "silence after which a node's row is removed")
    task_polling_interval: float = _setting(
        parse_duration, 1.0, "time between two looks for work that nobody announced"
    )
    master_check_interval: float = _setting(
        parse_duration, 0.5, "time between two looks at a job that nobody announced"
    )
    orphaned_master_scan_interval: float = _setting(
        parse_duration, 10.0, "time between two looks for jobs without a master"
    )
    orphaned_tasks_polling_interval: float = _setting(parse_duration, 1.0, "time between two looks for silent nodes")
    node_id_prefix: str = _setting(parse_prefix, _host_prefix, "the readable part of a node's id")
    labels: tuple[str, ...] = _setting(parse_labels, (), "what a node has that jobs may require: gpu, mem=64")
    host_identifier: str = _setting(_one_of("host-name", "ip-address"), "host-name", "how a node names its machine")
    initialize_schema: str = _setting(
        _one_of("always", "embedded", "never"), "embedded", "whether connecting may create the tables"
    )
    max_attempts: int = _setting(parse_count, 3, "child processes that one partition may kill")
    shutdown_grace: float = _setting(parse_duration, 30.0, "time that running partitions get when a node stops")
    interrupt_grace: float = _setting(parse_duration, 2.0, "time between SIGINT and SIGKILL for a cancelled partition")
    database_patience: float = _setting(
        parse_duration, 600.0, "time without a database after which a node gives up with exit code 75"
    )
    max_capture: int = _setting(parse_size, 64 * 10**6, "largest function with everything it captured")
    max_result: int = _setting(parse_size, MAX_RESULT, "largest result of one partition")
    large_value: int = _setting(
        parse_size, LARGE_VALUE, "size above which a value travels as a file, or as a stream of its own to a server"
    )
    results: str = _setting(
        _text, "", "where large values travel: file:///share/values or s3://bucket/folder; the database when empty"
    )
    spool: str = _setting(_text, "", "folder for large values on their way; in the user's state folder when empty")
    max_log: int = _setting(parse_size, 10**6, "output kept of one attempt")
    key_file: str = _setting(_text, "", "file with the cluster's signing key")
    display: str = _setting(
        _one_of("auto", "widget", "html", "text", "none"), "auto", "how a running job is shown in a notebook"
    )

    def __post_init__(self) -> None:
        if self.heartbeat_interval >= self.unreachable_node_threshold:
            raise ConfigError(
                f"heartbeat-interval ({self.heartbeat_interval:g}s) must be shorter than "
                f"unreachable-node-threshold ({self.unreachable_node_threshold:g}s)"
            )
        if self.unreachable_node_threshold >= self.node_cleanup_threshold:
            raise ConfigError(
                f"unreachable-node-threshold ({self.unreachable_node_threshold:g}s) must be shorter than "
                f"node-cleanup-threshold ({self.node_cleanup_threshold:g}s)"
            )

    @property
    def failover_time(self) -> float:
        """Seconds after which a silent node's work has surely been offered elsewhere."""
        return self.unreachable_node_threshold + self.orphaned_tasks_polling_interval + self.task_polling_interval


def setting_names() -> dict[str, str]:
    """Each setting with one sentence about it."""
    return {f.name: str(f.metadata["doc"]) for f in dataclasses.fields(Settings)}


def load_settings(
    options: Mapping[str, object | None] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Settings:
    """Settings from options (``None`` means not given), environment, files, defaults.

    Raises ConfigError for an unknown option or an impossible value.
    """
    fields = {f.name: f for f in dataclasses.fields(Settings)}
    unknown = set(options or ()) - set(fields)
    if unknown:
        raise ConfigError(f"unknown setting {', '.join(sorted(unknown))}; known are {', '.join(fields)}")
    layers = _layers(options, environ, directory)
    values: dict[str, Any] = {}
    for name, described in fields.items():
        for origin, layer in layers:
            if layer.get(name) is not None:
                shown = f"NBCLUSTER_{name.upper()}" if origin == _ENVIRONMENT else origin + name.replace("_", "-")
                values[name] = described.metadata["parse"](layer[name], shown)
                break
    return Settings(**values)


def origin_of(
    name: str,
    options: Mapping[str, object | None] | None = None,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> str:
    """Where ``load_settings`` with the same arguments takes a setting from, in some words."""
    for origin, layer in _layers(options, environ, directory):
        if layer.get(name) is not None:
            if not origin:
                return "given"
            return f"NBCLUSTER_{name.upper()}" if origin == _ENVIRONMENT else origin.removesuffix(": ")
    return "default"


_ENVIRONMENT = "NBCLUSTER_"


def _layers(
    options: Mapping[str, object | None] | None, environ: Mapping[str, str] | None, directory: Path | None
) -> list[tuple[str, Mapping[str, object | None]]]:
    """What each place says, the first to be asked first."""
    environ = os.environ if environ is None else environ
    fields = {f.name: f for f in dataclasses.fields(Settings)}
    layers: list[tuple[str, Mapping[str, object | None]]] = [
        ("", dict(options or {})),
        (_ENVIRONMENT, {n: environ.get(f"NBCLUSTER_{n.upper()}") or None for n in fields}),
    ]
    return layers + [(f"{path}: ", _read_file(path, fields)) for path in _config_files(directory or Path.cwd())]


def _config_files(start: Path) -> list[Path]:
    upwards = [folder / "nbcluster.toml" for folder in (start, *start.parents)]
    nearest = next((path for path in upwards if path.is_file()), None)
    personal = config_directory() / "config.toml"
    return [path for path in (nearest, personal) if path is not None and path.is_file()]


def _read_file(path: Path, fields: Mapping[str, object]) -> dict[str, object | None]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    values: dict[str, object | None] = {key.replace("-", "_"): value for key, value in table.items()}
    # A key file named by whatever folder one happens to stand in would let that folder choose the key.
    values = values if path.parent == config_directory() else {k: v for k, v in values.items() if k != "key_file"}
    unknown = set(values) - set(fields)
    if unknown:
        raise ConfigError(f"{path} has an unknown setting {', '.join(sorted(unknown))}")
    return values
