"""Several jobs, several notebooks, and coming back to a job: after a restart, in a new tab, after its end."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from nbcluster.api import Cluster
from tests.browser.conftest import Gate, Open
from tests.browser.pages import LOST

pytestmark = pytest.mark.timeout(180, method="thread")


def test_several_jobs_each_in_its_own_cell(open_notebook: Open, gate: Gate) -> None:
    jobs = [gate.cell(number, f"job{number}", "-a") for number in (3, 4, 5)]
    notebook = open_notebook(*jobs, "import time\nwhile not job5.done(): time.sleep(0.1)\nprint('mine')")
    for number in (1, 2, 3):
        notebook.run(number)
    notebook.start(4)
    gate.open()
    notebook.ended(4)
    for number in (1, 2, 3):
        expect(notebook.headline(number)).to_have_count(1)
        expect(notebook.headline(number)).to_contain_text(f"job{number + 2} completed {number + 2} items in")
    assert (notebook.output(4).inner_text()).strip() == "mine"


def test_two_notebooks_show_and_steer_the_same_job(open_notebook: Open, gate: Gate) -> None:
    one = open_notebook(gate.cell(20, options="-a"))
    one.run(1)
    two = open_notebook("%nbcluster attach gated")
    two.run(1)
    gate.let_pass(5)
    for notebook in (two, one):
        notebook.show()
        expect(notebook.headline(1)).to_contain_text("5 of 20 items")
    one.button(1, "Pause").click()
    expect(one.headline(1)).to_contain_text("paused")
    two.show()
    expect(two.headline(1)).to_contain_text("paused")
    two.button(1, "Resume").click()
    gate.open()
    for notebook in (two, one):
        notebook.show()
        expect(notebook.headline(1)).to_contain_text("completed")


def test_after_a_restart_of_the_kernel_attach_redraws_everything(open_notebook: Open, gate: Gate) -> None:
    notebook = open_notebook(gate.cell(20, options="-a"), "%nbcluster attach gated", "sum(gated.results())")
    notebook.run(1)
    gate.let_pass(5)
    expect(notebook.headline(1)).to_contain_text("5 of 20 items")
    notebook.restart()
    expect(notebook.output(1).locator("button:visible")).to_have_count(0)
    expect(notebook.output(1).get_by_text("See %nbcluster attach gated")).to_be_visible()
    gate.let_pass(10)
    notebook.run(0)
    notebook.run(2)
    expect(notebook.headline(2)).to_contain_text("10 of 20 items")
    gate.open()
    expect(notebook.headline(2)).to_contain_text("completed")
    expect(notebook.run(3)).to_contain_text(str(sum(range(20))))
    expect(notebook.panel).not_to_contain_text(LOST, use_inner_text=True)


def test_a_tab_that_is_closed_and_opened_again(open_notebook: Open, gate: Gate, cluster: Cluster) -> None:
    notebook = open_notebook(gate.cell(20, options="-a"), "%nbcluster attach gated")
    notebook.run(1)
    gate.let_pass(5)
    expect(notebook.headline(1)).to_contain_text("5 of 20 items")
    kernel = notebook.kernel
    notebook.close()
    notebook.open()
    assert notebook.kernel == kernel
    gate.let_pass(10)
    expect(notebook.headline(1)).to_contain_text("10 of 20 items")
    notebook.button(1, "Pause").click()
    expect(notebook.headline(1)).to_contain_text("paused")
    expect(notebook.headline(1)).to_have_count(1)
    notebook.button(1, "Resume").click()
    notebook.close()
    gate.open()
    cluster.job("gated").wait()
    notebook.open()
    # The kernel may close its widgets before or after the page asks for them: the reader sees the same.
    expect(notebook.output(1).get_by_text("See %nbcluster attach gated")).to_be_visible()
    expect(notebook.panel).not_to_contain_text(LOST, use_inner_text=True)
    notebook.run(2)
    expect(notebook.headline(2)).to_contain_text("completed")
