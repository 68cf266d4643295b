"""Modules that travel with a function."""

from __future__ import annotations

import importlib
import sys
import types

import pytest

from nbcluster import payload


def test_a_function_that_was_stored_before_modules_could_travel_is_read() -> None:
    shipped = object.__new__(payload.Shipped)
    shipped.__setstate__([abs, {"<cell>": "text"}])
    assert (shipped.function, shipped.sources, shipped.modules) == (abs, {"<cell>": "text"}, {})
    assert payload.Shipped(abs, {}).__getstate__() == [abs, {}]


def test_a_module_is_in_place_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = types.ModuleType("some_module"), types.ModuleType("some_module")
    with payload.in_place({"some_module": mine}):
        assert importlib.import_module("some_module") is mine
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("some_module")
    monkeypatch.setitem(sys.modules, "some_module", theirs)
    with pytest.raises(ZeroDivisionError), payload.in_place({"some_module": mine}):
        raise ZeroDivisionError
    assert sys.modules["some_module"] is theirs


@pytest.mark.parametrize(
    ("ship", "names"),
    [(None, ()), ("a", ("a",)), (["a", "b.c", "a"], ("a", "b.c")), (types, ("types",)), (("a",), ("a",))],
)
def test_modules_are_named_or_given(ship: object, names: tuple[str, ...]) -> None:
    assert payload.modules_named(ship) == names
