"""What repo2docker asks of the folder binder/; building an image with it is not tested here."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
BINDER = ROOT / "binder"

# Files of repo2docker that would take the place of requirements.txt and runtime.txt, or bring another language.
_OTHERS = (
    "environment.yml",
    "Pipfile",
    "setup.py",
    "Project.toml",
    "install.R",
    "DESCRIPTION",
    "default.nix",
    "Dockerfile",
)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def test_there_is_one_folder_and_nothing_overrules_it() -> None:
    assert not (ROOT / ".binder").exists()
    assert [name for name in _OTHERS if (BINDER / name).exists()] == []


def test_the_package_itself_is_installed_with_what_the_tutorials_need(project: dict[str, Any]) -> None:
    """With a binder/ folder the pyproject.toml at the root is not installed by itself."""
    lines = (BINDER / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line.strip() and not line.startswith("#")]
    # A line that begins with a dot makes repo2docker put the whole repository in place before it installs.
    assert wanted == [".[tutorials]"]
    assert "tutorials" in project["optional-dependencies"]


def test_its_python_is_one_that_the_project_takes(project: dict[str, Any]) -> None:
    said = (BINDER / "runtime.txt").read_text(encoding="utf-8").strip()
    version = re.fullmatch(r"python-(\d\.\d+)", said)
    assert version is not None, said
    assert f"{version[1]}.0" in SpecifierSet(project["requires-python"])


def test_an_error_after_the_installation_stops_the_build() -> None:
    script = BINDER / "postBuild"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"
    commands = [line for line in lines[1:] if line.strip() and not line.startswith("#")]
    assert commands[0] == "set -e"
    assert os.access(script, os.X_OK)
