"""The command ``nbcluster`` without a cluster: help, complaints and exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbcluster import __version__
from nbcluster.cli.admin import main

COMMANDS = [
    "init", "doctor", "up", "down", "nodes", "jobs", "partitions", "sql", "cancel", "pause", "resume", "retry", "drain",
    "logs",
]  # fmt: skip


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    """The exit code and the one line on standard error."""
    code = main(argv)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("nbcluster: ")
    assert said.err.count("\n") == 1
    return code, said.err.removeprefix("nbcluster: ").rstrip("\n")


def test_help_names_every_command_and_gives_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command} " in text
    assert "examples:" in text
    assert "exit codes:" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert "--url" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([flag])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"nbcluster {__version__}\n"


def test_no_command_is_wrong_usage_and_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "examples:" in capsys.readouterr().err


def test_an_unknown_command_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(capsys, "nodez") == (2, "there is no command nodez; did you mean nodes?")
    code, said = complaint(capsys, "xyzzy")
    assert code == 2
    assert said == f"there is no command xyzzy; there are {', '.join(COMMANDS)}"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nodes", "--jsn"], "unrecognized arguments: --jsn; nbcluster --help tells more"),
        (["partitions"], "the following arguments are required: JOB; nbcluster partitions --help tells more"),
        (["jobs", "--since", "soon"], "--since: 'soon' is no duration; write for example 3s, 500ms or 2m"),
        (["init", "--drop"], "--drop goes with --print: nbcluster prints the statements and drops nothing by itself"),
        (["nodes", "--url", "mysql://localhost/x"], "'mysql' is no database that nbcluster can meet in; "),
        (["nodes", "--url", "nonsense"], "'nonsense' is no database URL; "),
        (["nodes", "--url", "sqlite://"], "an SQLite database in memory cannot be shared with nodes; "),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = complaint(capsys, *argv)
    assert code == 2
    assert text.startswith(said)


@pytest.mark.parametrize("command", [["nodes"], ["jobs"], ["partitions", "x"], ["logs", "x"], ["cancel", "x"]])
def test_looking_makes_no_database(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "none" / "cluster.db"
    code, text = complaint(capsys, *command, "--url", f"sqlite:///{file}")
    assert code == 4
    assert text.startswith(f"there is no database {file} yet")
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_exit_code_3_and_keeps_the_password(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = complaint(capsys, "nodes", "--url", "postgresql+psycopg://ada:s3cret@127.0.0.1:1/lab")
    assert code == 3
    assert "s3cret" not in text
    assert "ada:***@127.0.0.1:1" in text


def test_the_url_may_stand_before_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'cluster.db'}"
    assert main(["--url", url, "init"]) == 0
    assert main(["nodes", "--url", url]) == 0
    assert "No node is there" in capsys.readouterr().out


def test_down_needs_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down", "--url", "postgresql+psycopg://ada:s3cret@127.0.0.1:1/lab"]) == 0
    assert capsys.readouterr().out == "no node of postgresql+psycopg://ada:***@127.0.0.1:1/lab was started here by up\n"


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_a_senseless_number_of_nodes_starts_none(
    count: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = complaint(capsys, "up", f"--url=sqlite:///{tmp_path / 'cluster.db'}", "--", count)
    assert code == 2
    assert "the number of nodes" in text


def test_an_interrupt_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(url: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nbcluster.cli.connecting._refuse_absent_file", interrupted)
    assert complaint(capsys, "nodes") == (130, "interrupted")
