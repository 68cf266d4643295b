"""The doctor on real clusters: in Python, and as one types it in a terminal."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

import nbcluster as nb
from nbcluster import Diagnosis, environment
from tests.cluster.conftest import Lab
from tests.waiting import wait_until


def results(diagnosis: Diagnosis) -> dict[str, str]:
    """The worst result of each check."""
    found: dict[str, str] = {}
    for finding in diagnosis.findings:
        order = ("ok", "note", "problem")
        found[finding.check] = max(found.get(finding.check, "ok"), finding.result.value, key=order.index)
    return found


def typed(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """``nbcluster doctor``, whatever its exit code."""
    command = [sys.executable, "-m", "nbcluster.cli.admin", "doctor", "--url", url, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    password = make_url(url).password
    assert password is None or password not in done.stdout + done.stderr
    assert done.stderr == ""
    return done


def test_a_healthy_cluster_is_well_in_every_check(lab: Lab) -> None:
    lab.nodes(2)
    cluster = lab.connect()
    wait_until(
        lambda: all(node.environment for node in cluster.store.nodes.all() if node.slots), message="the nodes' packages"
    )
    diagnosis = cluster.doctor()
    assert set(results(diagnosis).values()) == {"ok"}, str(diagnosis)
    assert f"{len(environment.installed().packages)} packages" in str(diagnosis)
    done = typed(lab.url)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "11 ok"


def test_a_node_with_another_package_is_seen_with_its_cure(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "elsewhere" / "pandas-1.5.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pandas\nVersion: 1.5.3\n")
    with monkeypatch.context() as patch:
        patch.setenv("PYTHONPATH", str(info.parent), prepend=":")
        (node,) = lab.nodes(1)
    cluster = lab.connect()
    wait_until(cluster.store.environments.all, message="the node's packages")
    found = [finding for finding in cluster.doctor().findings if finding.check == "packages"]
    here = environment.installed().packages["pandas"]
    assert [finding.command for finding in found] == [f"pip install pandas=={here}"]
    assert f"node {node.id}: pandas 1.5.3 (here {here})" in found[0].seen


def test_without_nodes_it_fails_and_says_how_to_start_some(lab: Lab) -> None:
    done = typed(lab.url, "--json")
    assert done.returncode == 1
    (problem,) = [one for one in json.loads(done.stdout) if one["result"] == "problem"]
    assert problem["check"] == "nodes"
    assert problem["command"].startswith("nbcluster up 2 --url '")


def test_a_job_that_no_node_can_run_is_found(lab: Lab) -> None:
    lab.nodes(1)
    cluster = lab.connect()
    job = cluster.map(abs, range(3), name="unfit", require="gpu")
    found = [finding.seen for finding in cluster.doctor().findings if finding.check == "jobs"]
    assert len(found) == 1
    assert f"unfit (job {job.id}, by {job.user}): 3 partitions wait. No live node has gpu" in found[0]
    job.cancel()


def test_a_database_that_is_not_there_is_the_finding(tmp_path: Path) -> None:
    absent = f"sqlite:///{tmp_path / 'none.db'}"
    done = typed(absent, "--csv")
    assert done.returncode == 4
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert "there is no database" in row["seen"]
    assert "nbcluster up 2" in row["cure"]
    assert not (tmp_path / "none.db").exists()
    refused = typed("postgresql+psycopg://ada:s3cret@127.0.0.1:1/lab")
    assert refused.returncode == 3
    assert "cannot be reached" in refused.stdout
    assert "pg_isready" in refused.stdout


@pytest.mark.needs("login")
def test_a_refused_login_is_the_finding(lab: Lab) -> None:
    wrong = make_url(lab.url).set(password="wrong").render_as_string(hide_password=False)
    diagnosis = nb.doctor(wrong)
    assert diagnosis.exit_code == 3
    (finding,) = diagnosis.findings
    assert finding.seen.endswith("refused the user or the password")
    assert ".pgpass" in finding.cure
    assert finding.command.startswith("psql 'postgresql://")


def test_from_python_it_opens_and_closes_a_connection_of_its_own(lab: Lab) -> None:
    diagnosis = nb.doctor(lab.url)
    assert results(diagnosis)["database"] == "ok"
    assert "(as given)" in str(diagnosis)
    assert lab.tables.count("batch_nodes") == 0
