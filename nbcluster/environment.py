"""What this Python has: the installed packages with their versions, as text that is the same wherever they are."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True)
class Environment:
    """Installed packages, by their normalized names, and the digest that equal ones share."""

    packages: Mapping[str, str]

    @property
    def text(self) -> str:
        """The packages as they are stored."""
        return json.dumps(dict(sorted(self.packages.items())), separators=(",", ":"))

    @property
    def digest(self) -> str:
        """64 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def normalized(name: str) -> str:
    """A package's name as it is compared: ``Ruamel.Yaml`` and ``ruamel_yaml`` are ``ruamel-yaml``."""
    return _SEPARATORS.sub("-", name).lower()


def installed() -> Environment:
    """The packages of this process.  Reads the metadata of each: some tenths of a second where there are hundreds."""
    from importlib.metadata import distributions

    found: dict[str, str] = {}
    for one in distributions():
        name, version = one.metadata["Name"], one.metadata["Version"]
        if name and version:  # what a broken installation left has neither
            found.setdefault(normalized(name), version)  # of two the first on the path is the one that is imported
    return Environment(found)


def read(text: str) -> Environment | None:
    """The environment of a stored text; None if it is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return Environment({str(name): str(version) for name, version in found.items()})


def imported() -> frozenset[str]:
    """The packages of which this process has imported something."""
    return _packages_of({name.partition(".")[0] for name in list(sys.modules)})


def used(namespace: Mapping[str, object]) -> frozenset[str]:
    """The packages that the values of a namespace come from: modules, functions and classes, and kinds of values."""
    known = dict(namespace)  # another thread may bind a name meanwhile
    names = {name for name in known if not name.startswith("_")} - _SHELL_NAMES
    return _packages_of({top for name in names for top in _origins(known[name])})


# What IPython itself puts beside the names of the notebook.
_SHELL_NAMES = {"In", "Out", "exit", "quit", "open", "get_ipython"}


def _origins(value: object) -> set[str]:
    said = [getattr(type(value), "__module__", None)]
    # Only of what has its own: an attribute of any other value may be computed, and do anything.
    if isinstance(value, (type, type(sys))) or callable(value):
        said += [getattr(value, "__module__", None), getattr(value, "__name__", None)]
    return {text.partition(".")[0] for text in said if isinstance(text, str)}


def _packages_of(modules: set[str]) -> frozenset[str]:
    return frozenset().union(*distributions_of(modules).values())


def distributions_of(modules: Iterable[str]) -> dict[str, frozenset[str]]:
    """The installed packages that bring these modules, by normalized names; without those that nothing brings."""
    from importlib.metadata import packages_distributions

    homes = packages_distributions()
    return {module: frozenset(map(normalized, homes[module])) for module in modules if module in homes}
