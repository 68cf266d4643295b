from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcluster.config import (
    Settings,
    config_directory,
    load_settings,
    origin_of,
    parse_count,
    parse_duration,
    parse_prefix,
    parse_size,
    setting_names,
    state_directory,
    usable_cores,
)
from nbcluster.errors import ConfigError


@pytest.fixture(autouse=True)
def no_personal_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's settings folder of its own; gives the file for it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "personal"))
    config_directory().mkdir(parents=True)
    return config_directory() / "config.toml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to stand in."""
    folder = tmp_path / "project" / "notebooks"
    folder.mkdir(parents=True)
    return folder


# --- durations, sizes, counts --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (3, 3.0),
        (0.25, 0.25),
        ("3", 3.0),
        (" 3.5 ", 3.5),
        ("3s", 3.0),
        ("500ms", 0.5),
        ("1.5m", 90.0),
        ("1h30m", 5400.0),
        ("2d", 172_800.0),
        ("1m30s500ms", 90.5),
    ],
)
def test_a_duration_is_seconds_or_carries_a_unit(text: object, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "soon", "3 s", "3x", "s", "1h30", "3s!", "-3s", "-3", 0, "0", "0s", "nan", "inf", "1e999", True, None]
)
def test_a_duration_without_sense_is_refused_with_its_name_and_an_example(text: object) -> None:
    with pytest.raises(ConfigError, match=r"^heartbeat-interval: .*duration; write for example 3s, 500ms or 2m"):
        parse_duration(text, "heartbeat-interval")


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_a_bare_number_is_seconds(seconds: float) -> None:
    assert parse_duration(repr(seconds)) == parse_duration(seconds) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (1000, 1000),
        ("1000", 1000),
        ("10B", 10),
        ("64MB", 64 * 10**6),
        ("64 mb", 64 * 10**6),
        ("64M", 64 * 10**6),
        ("1.5 GiB", 3 * 2**29),
        ("2ki", 2048),
        ("1TB", 10**12),
    ],
)
def test_a_size_is_bytes_or_carries_a_unit(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "5i", "5iB", "0", 0, -1, "-1", "1 PB", float("inf"), float("nan"), True])
def test_a_size_without_sense_is_refused_with_its_name_and_an_example(text: object) -> None:
    with pytest.raises(ConfigError, match=r"^max-result: .* is no size; write for example 64MB or 1GB$"):
        parse_size(text, "max-result")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0", "slots: 0 is too few; write 1 or more"),
        (-1, "slots: -1 is too few; write 1 or more"),
        ("two", "slots: 'two' is no whole number; write 1 or more"),
        ("2.5", "slots: '2.5' is no whole number; write 1 or more"),
        (True, "slots: True is no whole number; write 1 or more"),
    ],
)
def test_slots_are_at_least_one(text: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_count(text, "slots")
    assert str(refused.value) == sentence


def test_the_cores_that_this_process_may_use_are_at_least_one() -> None:
    assert usable_cores() >= 1


# --- the readable part of a node's id ------------------------------------------------------------


@pytest.mark.parametrize("word", ["a", "gpu-1", "node.lab_3", "A" * 100])
def test_letters_digits_dots_dashes_and_underscores_name_a_node(word: str) -> None:
    assert parse_prefix(f" {word} ") == word


@pytest.mark.parametrize("word", ["", "-a", ".a", "x" * 101, "x" * 300, 'a"b', "a'b", "<b>", "a b", "a/b", "knöten"])
def test_anything_else_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot name a node; use at most 100 letters, digits"):
        parse_prefix(word)


def test_a_prefix_of_300_characters_is_not_repeated_in_full() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_prefix("x" * 300)
    assert "(300 characters)" in str(refused.value)
    assert "x" * 41 not in str(refused.value)


# --- where values come from ----------------------------------------------------------------------


def test_without_any_source_the_defaults_hold(project: Path) -> None:
    settings = load_settings({}, {}, project)
    assert settings == Settings()
    assert (settings.heartbeat_interval, settings.unreachable_node_threshold) == (3.0, 10.0)
    assert settings.slots == usable_cores()
    assert settings.url == f"sqlite:///{state_directory() / 'cluster.db'}"


def test_option_beats_environment_beats_nearest_file_beats_personal_file(
    project: Path, no_personal_settings: Path
) -> None:
    no_personal_settings.write_text("slots = 1\nmax_attempts = 1\nmax_log = 1\nmax_result = 1\n")
    (project.parent / "nbcluster.toml").write_text("slots = 2\nmax_attempts = 2\nmax_log = 2\n")
    environ = {"NBCLUSTER_SLOTS": "3", "NBCLUSTER_MAX_ATTEMPTS": "3"}
    settings = load_settings({"slots": "4"}, environ, project)
    assert (settings.slots, settings.max_attempts, settings.max_log, settings.max_result) == (4, 3, 2, 1)


def test_only_the_nearest_file_upwards_counts(project: Path) -> None:
    (project / "nbcluster.toml").write_text("slots = 2\n")
    (project.parent / "nbcluster.toml").write_text("slots = 1\nmax_attempts = 7\n")
    settings = load_settings({}, {}, project)
    assert (settings.slots, settings.max_attempts) == (2, 3)


def test_an_option_that_is_not_given_leaves_the_word_to_others(project: Path) -> None:
    assert load_settings({"slots": None}, {"NBCLUSTER_SLOTS": "3"}, project).slots == 3


def test_an_empty_variable_counts_as_not_set(project: Path) -> None:
    assert load_settings({}, {"NBCLUSTER_SLOTS": ""}, project).slots == usable_cores()


def test_a_file_may_write_settings_with_dashes_units_and_numbers(project: Path) -> None:
    (project / "nbcluster.toml").write_text('heartbeat-interval = "500ms"\nmax-result = "2GB"\nslots = 3\n')
    settings = load_settings({}, {}, project)
    assert (settings.heartbeat_interval, settings.max_result, settings.slots) == (0.5, 2 * 10**9, 3)


def test_a_folder_that_one_stands_in_cannot_choose_the_key(project: Path, no_personal_settings: Path) -> None:
    (project / "nbcluster.toml").write_text('key_file = "/tmp/planted.key"\n')
    assert load_settings({}, {}, project).key_file == ""
    no_personal_settings.write_text('key_file = "/home/ada/cluster.key"\n')
    assert load_settings({}, {}, project).key_file == "/home/ada/cluster.key"


def test_a_refused_value_is_named_after_where_it_came_from(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"^NBCLUSTER_SLOTS: 0 is too few"):
        load_settings({}, {"NBCLUSTER_SLOTS": "0"}, project)
    with pytest.raises(ConfigError, match=r"^slots: 0 is too few"):
        load_settings({"slots": 0}, {}, project)
    path = project / "nbcluster.toml"
    path.write_text("slots = 0\n")
    with pytest.raises(ConfigError) as refused:
        load_settings({}, {}, project)
    assert str(refused.value).startswith(f"{path}: slots: 0 is too few")


def test_an_unknown_option_is_refused_with_the_known_ones(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown setting hartbeat; known are url, slots, heartbeat_interval"):
        load_settings({"hartbeat": 1}, {}, project)


def test_an_unknown_setting_in_a_file_is_refused(project: Path) -> None:
    (project / "nbcluster.toml").write_text("slotz = 1\n")
    with pytest.raises(ConfigError, match=r"nbcluster\.toml has an unknown setting slotz"):
        load_settings({}, {}, project)


@pytest.mark.parametrize("content", [b"slots = ", b"\xff\xfe", b"slots = 1\nslots = 2\n"])
def test_a_file_that_is_no_toml_is_refused(project: Path, content: bytes) -> None:
    (project / "nbcluster.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"nbcluster\.toml cannot be read as TOML"):
        load_settings({}, {}, project)


# --- what must fit together ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"heartbeat_interval": "10s"},
            "heartbeat-interval (10s) must be shorter than unreachable-node-threshold (10s)",
        ),
        (
            {"unreachable_node_threshold": "2m"},
            "unreachable-node-threshold (120s) must be shorter than node-cleanup-threshold (30s)",
        ),
    ],
)
def test_the_order_of_the_thresholds_is_checked(options: dict[str, object], sentence: str, project: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(options, {}, project)
    assert str(refused.value) == sentence


def test_a_word_that_is_not_one_of_the_choices_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"^initialize-schema: 'perhaps' is not one of always, embedded, never$"):
        load_settings({"initialize_schema": "perhaps"}, {}, project)


def test_the_failover_time_follows_from_the_intervals() -> None:
    settings = Settings(unreachable_node_threshold=10.0, orphaned_tasks_polling_interval=1.0, task_polling_interval=0.5)
    assert settings.failover_time == 11.5


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Settings().slots = 2  # type: ignore[misc]


def test_every_setting_has_a_sentence() -> None:
    assert all(setting_names().values())


def test_the_embedded_database_lives_in_the_users_own_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/somewhere")
    assert Settings().url == "sqlite:////somewhere/nbcluster/cluster.db"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert Settings().url == "sqlite:////home/ada/.local/state/nbcluster/cluster.db"


# --- where a setting comes from ------------------------------------------------------------------


def test_the_origin_of_a_setting_is_where_it_is_taken_from(project: Path, no_personal_settings: Path) -> None:
    def origin(options: dict[str, object | None] | None = None, **environ: str) -> str:
        return origin_of("url", options, environ, project)

    assert origin() == "default"
    no_personal_settings.write_text('url = "sqlite:///personal.db"')
    assert origin() == str(no_personal_settings)
    nearer = project.parent / "nbcluster.toml"
    nearer.write_text('url = "sqlite:///project.db"')
    assert origin() == str(nearer)
    assert origin(NBCLUSTER_URL="sqlite:///x.db") == "NBCLUSTER_URL"
    assert origin({"url": "sqlite:///y.db"}, NBCLUSTER_URL="sqlite:///x.db") == "given"
    assert origin({"url": None}) == str(nearer)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("sqlite:///cluster.db", "sqlite:///{here}/cluster.db"),
        ("sqlite+pysqlite:///sub/cluster.db", "sqlite+pysqlite:///{here}/sub/cluster.db"),
        ("sqlite:////tmp/cluster.db", "sqlite:////tmp/cluster.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/db"),
    ],
)
def test_a_file_is_named_by_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, made: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings({"url": given}).url == made.format(here=tmp_path)
