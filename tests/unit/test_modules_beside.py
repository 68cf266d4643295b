"""Which modules beside the notebook come with a name, and what their archive is."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbcluster import payload
from nbcluster.payload import beside
from nbcluster.payload.bundles import ModuleText, pack_modules, unpack_modules

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a notebook: this process works in it and imports from it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def write(folder: Path) -> Write:
    def write(path: str, text: str = "") -> Path:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        return file

    return write


def names(*wanted: str, without: tuple[str, ...] = ()) -> list[str]:
    found = beside.bundled(wanted, without)
    return [] if found is None else [file.name for file in found.files]


# --- which --------------------------------------------------------------------------------------


def test_a_module_brings_what_it_imports_wherever_in_its_text(write: Write) -> None:
    write("top.py", "import first, json, numpy\ndef f():\n    from second import x\n    import not_there\n")
    write("first.py", "try:\n    import third as t\nexcept ImportError: pass\n")
    write("second.py", "import top\nx = 1\n")
    write("third.py")
    write("unrelated.py")
    assert names("top") == ["first", "second", "third", "top"]
    importlib.import_module("top")
    assert names("top") == ["first", "second", "third", "top"]
    assert names("json", "numpy", "not_there", "__main__", "nbcluster.handle") == []


def test_of_a_package_only_what_is_imported_travels_with_the_packages_above_it(write: Write) -> None:
    write("pkg/__init__.py", "from .config import RATE\n")
    write("pkg/config.py", "RATE = 3\n")
    write("pkg/inner/__init__.py")
    write("pkg/inner/deep.py", "from ..money import convert\nfrom . import beside\nfrom ... import nonsense\n")
    write("pkg/inner/beside.py")
    write("pkg/money.py", "import pkg.rates\n")
    write("pkg/rates.py")
    write("pkg/unused.py")
    wanted = ["pkg", "pkg.config", "pkg.inner", "pkg.inner.beside", "pkg.inner.deep", "pkg.money", "pkg.rates"]
    assert names("pkg.inner.deep") == wanted


def test_a_package_that_makes_names_up_travels_whole(write: Write) -> None:
    write(
        "pkg/__init__.py", "import importlib\nfor n in ('a' + 'b',):\n    importlib.import_module(f'.{n}', __name__)\n"
    )
    write("pkg/ab.py")
    write("pkg/sub/__init__.py")
    write("pkg/sub/c.py", "import outside")
    write("pkg/not-a-module.py")
    write("outside.py")
    assert names("pkg") == ["outside", "pkg", "pkg.ab", "pkg.sub", "pkg.sub.c"]
    write("chooser.py", "import importlib\nchosen = importlib.import_module('outside')\n")
    assert names("chooser") == ["chooser", "outside"]


def test_a_folder_without_init_is_a_package_too(write: Write) -> None:
    write("space/inner/one.py", "from space.two import x")
    write("space/two.py", "x = 2")
    assert names("space.inner.one") == ["space.inner.one", "space.two"]
    bundle = unpack_modules(beside.bundled(["space.inner.one"]).body)  # type: ignore[union-attr]
    with payload.using(bundle):
        assert importlib.import_module("space.inner.one").x == 2
    assert "space" not in sys.modules


def test_what_is_installed_stays_also_beside_the_notebook(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(".venv/lib/python3.11/site-packages/installed.py")
    monkeypatch.syspath_prepend(str(file.parent))
    assert names("installed") == []
    importlib.import_module("installed")
    assert names("installed") == []


def test_what_lies_elsewhere_stays(
    write: Write, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "away.py").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path, str(elsewhere)])
    write("here.py", "import away")
    assert names("here") == ["here"]


def test_a_working_folder_that_is_gone_stops_nobody(
    write: Write, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("stays.py")
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert names("stays") == ["stays"]


def test_what_travels_by_value_is_not_sent_a_second_time(write: Write) -> None:
    write("one.py", "import two")
    write("two.py", "import three")
    write("three.py")
    assert names("one", without=("two",)) == ["one"]


def test_a_text_that_does_not_parse_travels_as_it_is(write: Write) -> None:
    write("broken.py", "def f(:\n")
    assert names("broken") == ["broken"]


def test_half_of_a_changed_module_is_never_sent(write: Write) -> None:
    write("rate.py", "RATE = 3\n")
    before = beside.bundled(["rate"])
    assert before == beside.bundled(["rate"])
    write("rate.py", "RATE = 4444\n")
    after = beside.bundled(["rate"])
    assert before is not None
    assert after is not None
    assert before.id != after.id
    assert unpack_modules(after.body).texts["rate"].text == b"RATE = 4444\n"


def test_a_file_that_is_newer_than_the_import_is_named(write: Write) -> None:
    file = write("rate.py", "RATE = 3\n")
    module = importlib.import_module("rate")

    def changed() -> tuple[str, ...]:
        found = beside.bundled(["rate"])
        assert found is not None
        return found.changed

    assert changed() == ()
    write("rate.py", "RATE = 4444\n")
    assert changed() == ("rate",)
    assert changed() == ("rate",)
    importlib.reload(module)
    assert changed() == ()
    write("rate.py", "RATE = 55555\n")
    sys.modules.pop("rate")
    assert changed() == ()
    importlib.import_module("rate")
    file.unlink()
    assert beside.bundled(["rate"]) is None


def test_a_file_that_was_changed_before_anything_was_sent_is_named(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = write("early.py", "RATE = 3\n")
    importlib.import_module("early")
    file.write_text("RATE = 4444\n")
    os.utime(file, (1, 1))
    found = beside.bundled(["early"])
    assert found is not None
    assert found.changed == ("early",)


def test_the_digest_tells_of_every_text_that_comes_with_it(write: Write) -> None:
    write("one.py", "import two")
    write("two.py", "X = 1")
    before = beside.digest_of(["one"])
    write("two.py", "X = 12")
    assert before != beside.digest_of(["one"]) != b""
    assert beside.digest_of(["json"]) == b""


# --- what a pickle refers to ---------------------------------------------------------------------


def test_a_pickle_tells_what_it_refers_to(write: Write) -> None:
    write("things.py", "import functools\nclass Thing: pass\n@functools.lru_cache\ndef kept(): pass\ndef f(): pass\n")
    things = importlib.import_module("things")

    def noticed(value: object) -> set[str]:
        with payload.noticing() as found:
            payload.dump(value)
        return {name for name in found if name in ("things", "json", "other", "other.part", "elsewhere")}

    for value in ([things.Thing()], things.kept, functools.partial(things.f), {"a": (things.Thing,)}):
        assert noticed(value) == {"things"}
    captured: Callable[[], object] = lambda: things.f  # noqa: E731
    assert noticed(captured) == {"things"}
    assert noticed(["things"]) == set()
    assert noticed(_importing) == {"json", "other", "other.part", "elsewhere"}


def _make() -> Callable[[], None]:
    def inner() -> None:
        def below() -> None:
            import json  # noqa: F401

        from other import part  # type: ignore[import-not-found]  # noqa: F401

        importlib.import_module("elsewhere")
        below()

    return inner


_importing = _make()


# --- the archive ------------------------------------------------------------------------------------


def text(name: str, body: str, *, package: bool = False) -> ModuleText:
    return ModuleText(name, f"/home/me/{name}.py", package, body.encode())


def test_the_archive_is_the_same_whatever_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [text("one", "x = 1"), text("pkg", "", package=True)]
    packed = pack_modules(both)
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert packed == pack_modules(reversed(both))
    assert list(unpack_modules(packed).texts.values()) == both
    assert packed != pack_modules([text("one", "x = 2"), both[1]])


def test_two_versions_of_a_module_take_turns_and_never_mix() -> None:
    first = unpack_modules(pack_modules([text("rate_x", "import inner_x\nR = inner_x.R"), text("inner_x", "R = 1")]))
    second = unpack_modules(pack_modules([text("rate_x", "import inner_x\nR = inner_x.R"), text("inner_x", "R = 2")]))
    found = []
    for bundle in (first, second, first):
        with payload.using(bundle):
            found.append(importlib.import_module("rate_x"))
            assert found[-1].__file__ == "/home/me/rate_x.py"
    assert [module.R for module in found] == [1, 2, 1]
    assert found[0] is found[2]
    assert not {"rate_x", "inner_x"} & set(sys.modules)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("rate_x")


def test_what_had_the_name_before_has_it_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    own = importlib.import_module("wave")
    bundle = unpack_modules(pack_modules([text("wave", "R = 1")]))
    with payload.using(bundle):
        assert importlib.import_module("wave").R == 1
        with payload.using(None):
            assert importlib.import_module("wave") is own
        assert importlib.import_module("wave").R == 1
    assert importlib.import_module("wave") is own


def test_tracebacks_show_the_lines_that_ran() -> None:
    bundle = unpack_modules(
        pack_modules([text("fails_x", "# -*- coding: utf-8 -*-\ndef f():\n    return 1 / 0  # é\n")])
    )
    with payload.using(bundle):
        module = importlib.import_module("fails_x")
        with pytest.raises(ZeroDivisionError) as caught:
            module.f()
        shown = "".join(traceback.format_exception(caught.value))
    assert 'File "/home/me/fails_x.py", line 3, in f\n    return 1 / 0  # é' in shown


def test_modules_that_are_here_in_the_same_version_are_not_replaced(write: Write) -> None:
    write("one.py", "import two\n")
    write("two.py", "X = 1\n")
    found = beside.bundled(["one"])
    assert found is not None
    bundle = unpack_modules(found.body)
    assert beside.same_here(bundle)
    importlib.import_module("one")
    assert beside.same_here(bundle)
    write("two.py", "X = 22\n")
    assert not beside.same_here(bundle)
    write("two.py", "X = 1\n")
    sys.modules.pop("two")
    assert beside.same_here(bundle)
