"""What a Python has installed, and which of it a notebook uses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nbcluster import environment
from nbcluster.environment import Environment


def test_what_is_installed_here_is_found_with_its_version() -> None:
    import sqlalchemy

    found = environment.installed().packages
    assert found["sqlalchemy"] == sqlalchemy.__version__
    assert "cloudpickle" in found


@pytest.mark.parametrize("name", ["Ruamel.Yaml", "ruamel_yaml", "ruamel--yaml", "RUAMEL-YAML"])
def test_spellings_of_one_name_are_one_package(name: str) -> None:
    assert environment.normalized(name) == "ruamel-yaml"


def test_the_digest_is_that_of_the_packages_in_any_order() -> None:
    one, other = Environment({"a": "1", "b": "2"}), Environment({"b": "2", "a": "1"})
    assert one.digest == other.digest
    assert len(one.digest) == 64
    assert one.digest != Environment({"a": "1", "b": "3"}).digest


def test_the_text_is_read_again() -> None:
    made = Environment({"a": "1", "b": "2.0+cu121"})
    assert environment.read(made.text) == made


@pytest.mark.parametrize("text", ["", "no json", "[1]", "null", '"a"'])
def test_a_text_that_is_no_environment_is_none(text: str) -> None:
    assert environment.read(text) is None


def test_of_two_versions_on_the_path_the_one_that_is_imported_counts(tmp_path: Path) -> None:
    for folder, version in (("first", "1.0"), ("second", "2.0")):
        info = tmp_path / folder / "twice-0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Twice\nVersion: {version}\n")
    broken = tmp_path / "first" / "broken-0.dist-info"
    broken.mkdir()
    path = [str(tmp_path / "first"), str(tmp_path / "second")]
    script = (
        f"import json, sys; sys.path[:0] = {path}; "
        "from nbcluster.environment import installed; print(json.dumps(installed().packages))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(done.stdout)
    assert found["twice"] == "1.0"
    assert "broken" not in found


def test_imported_are_the_packages_of_loaded_modules() -> None:
    import sqlalchemy

    assert sqlalchemy
    assert "sqlalchemy" in environment.imported()


def test_used_are_the_packages_that_the_names_of_a_notebook_come_from() -> None:
    import cloudpickle
    import pandas as pd
    from sqlalchemy import select

    assert environment.used({"pd": pd}) == {"pandas"}
    assert environment.used({"df": pd.DataFrame()}) == {"pandas"}
    assert environment.used({"select": select}) == {"sqlalchemy"}
    assert environment.used({"_hidden": cloudpickle, "In": pd, "n": 3, "print": print}) == frozenset()


def test_looking_at_a_name_asks_nothing_of_its_value() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(f"asked for {name}")

    assert environment.used({"proxy": Proxy()}) <= {"pytest"}
