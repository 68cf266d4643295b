"""Package differences: what matters to the notebook first, long lists folded, equal nodes together."""

from __future__ import annotations

from nbcluster.diagnosing.diagnosis import Finding, Result
from nbcluster.diagnosing.differences import ThisProcess, differences, findings
from nbcluster.environment import Environment
from tests.builders import a_node

HERE = {"pandas": "2.3.1", "numpy": "2.1.0", "lxml": "5.0", "rich": "13.0", "nbcluster": "0.1.0"}


def compared(here: ThisProcess, *theres: dict[str, str]) -> list[Finding]:
    """Nodes a-1, b-1 ... that have these packages."""
    environments = [Environment(there) for there in theres]
    nodes = [
        a_node(f"{letter}-1", host=f"lab-{letter}", environment=one.digest)
        for letter, one in zip("abcdefgh", environments, strict=False)
    ]
    return findings(nodes, here, {one.digest: one for one in environments})


def test_another_pandas_under_a_notebook_that_uses_it_is_a_problem_with_its_cure() -> None:
    (found,) = compared(ThisProcess(HERE, frozenset({"pandas"})), HERE | {"pandas": "2.2.3"})
    assert found.result is Result.PROBLEM
    assert found.seen == "node a-1: pandas 2.2.3 (here 2.3.1); this notebook uses it"
    assert found.cure == "on lab-a, in the node's Python; then start the node again"
    assert found.command == "pip install pandas==2.3.1"


def test_what_is_imported_or_only_installed_is_a_note() -> None:
    here = ThisProcess(HERE, frozenset({"pandas"}), frozenset({"pandas", "numpy"}))
    there = {"pandas": "1.0", "numpy": "1.0", "lxml": "4.0"}
    used, imported, installed, absent = compared(here, there)
    assert (used.result, imported.result, installed.result, absent.result) == (
        Result.PROBLEM, Result.NOTE, Result.NOTE, Result.NOTE,
    )  # fmt: skip
    assert "pandas 1.0" in used.seen
    assert "numpy 1.0" in imported.seen
    assert "lxml 4.0" in installed.seen
    assert "1 package that is here, not imported" in absent.seen


def test_a_used_package_that_is_absent_is_a_problem() -> None:
    (found,) = compared(ThisProcess(HERE, frozenset({"rich"})), {k: v for k, v in HERE.items() if k != "rich"})
    assert "no rich (here 13.0)" in found.seen
    assert found.command == "pip install rich==13.0"


def test_what_the_node_has_besides_is_its_own_matter() -> None:
    (found,) = compared(ThisProcess(HERE), HERE | {"torch": "2.4"})
    assert found == Finding("packages", Result.OK, "node a-1 has what is here: 5 packages")


def test_nbcluster_itself_has_a_check_of_its_own() -> None:
    assert compared(ThisProcess(HERE), HERE | {"nbcluster": "9"})[0].result is Result.OK


def test_the_order_is_use_then_import_then_versions_then_absence() -> None:
    here = ThisProcess(
        dict.fromkeys(("a", "b", "c", "d", "e"), "1"), used=frozenset({"e"}), imported=frozenset({"e", "d"})
    )
    found = differences(here, Environment({"a": "2", "d": "2", "e": "2"}))
    assert [one.name for one in found] == ["e", "d", "a", "b", "c"]


def test_long_lists_are_folded_and_the_command_names_what_is_shown() -> None:
    here = {f"package-{number:02}": "1" for number in range(50)}
    (found,) = compared(ThisProcess(here), dict.fromkeys(here, "2"))
    assert found.seen.count("(here 1)") == 8
    assert "and 42 more" in found.seen
    assert len(found.command.split()) == 2 + 8


def test_nodes_with_equal_packages_are_spoken_of_together() -> None:
    old = HERE | {"pandas": "1.0"}
    (found,) = compared(ThisProcess(HERE), old, old, HERE)
    assert found.seen.startswith("nodes a-1 and b-1: pandas 1.0")
    assert found.cure.startswith("on lab-a and lab-b, ")


def test_two_hundred_nodes_are_not_all_named() -> None:
    old = Environment(HERE | {"pandas": "1.0"})
    nodes = [a_node(f"n-{number}", host=f"pc{number}", environment=old.digest) for number in range(200)]
    (found,) = findings(nodes, ThisProcess(HERE), {old.digest: old})
    assert "n-0, n-1, n-2, n-3 and 196 more" in found.seen


def test_a_node_that_has_not_told_is_named() -> None:
    (found,) = findings([a_node("a-1", environment=None)], ThisProcess(HERE), {})
    assert found.result is Result.NOTE
    assert "node a-1 has not told what is installed yet" in found.seen


def test_without_nodes_there_is_nothing_to_compare() -> None:
    assert findings([], ThisProcess(HERE), {}) == []
