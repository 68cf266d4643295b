"""Any order of claims, ends, losses, take-overs and looks keeps the promises.

Two nodes and two masters act on one job of two steps and two callbacks, in any order that
chance finds, with claims and terms that may long be somebody else's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from nbcluster.lifecycle import JOB_FINAL, JobStatus, StepKind
from nbcluster.records import Claim
from nbcluster.store import Store
from nbcluster.store.events import parse_members
from tests.builders import a_new_job, a_new_step, completed, failed, handed_back, some_new_partitions
from tests.store.acts import change, count, register, rows, silence, value

NODES = ("a-1", "b-1")
MASTERS = ("kernel-1", "a-1", "b-1")
ENDS = {"completed": completed, "failed": failed, "handed back": handed_back}


class Protocol(RuleBasedStateMachine):
    """One job, and everything that may happen to it."""

    store: Store

    @initialize(transferable=st.booleans())
    def submit(self, transferable: bool) -> None:
        for table in ("batch_events", "batch_results", "batch_attempts", "batch_logs", "batch_partitions",
                      "batch_job_coordination", "batch_step_execution", "batch_job_execution_params",
                      "batch_job_execution", "batch_job_instance", "batch_nodes"):  # fmt: skip
            change(self.store, f"DELETE FROM {table}")
        register(self.store, *NODES)
        split = tuple(replace(part, transferable=transferable) for part in some_new_partitions(2))
        one = some_new_partitions(1)
        steps = (
            replace(a_new_step(transferable=transferable), partitions=split),
            replace(a_new_step(), name="fold", kind=StepKind.AGGREGATE, after=("map",), input_of="map", partitions=one),
            replace(a_new_step(), name="well", kind=StepKind.ON_SUCCESS),
            replace(a_new_step(), name="ill", kind=StepKind.ON_FAILURE),
        )
        self.job = self.store.jobs.create(replace(a_new_job(), steps=steps)).job_execution_id
        self.term = 1
        self.claims: list[Claim] = []
        self.begun: set[tuple[int, int]] = set()
        self.ended: dict[int, tuple[Any, ...]] = {}

    @rule(node=st.sampled_from(NODES), number=st.integers(1, 3))
    def claim(self, node: str, number: int) -> None:
        for step in self.store.jobs.started_steps():
            claims = self.store.claims.claim(step, node, number, free=True, steal=True)
            once = [claim for claim in claims if not claim.transferable]
            mine = self.store.claims.start(once) if once else set()
            assert mine == {claim.partition_id for claim in once}
            self.claims += claims

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), how=st.sampled_from(sorted(ENDS)))
    def end(self, data: st.DataObject, how: str) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        # A node never hands back what may begin once and has begun.
        self.store.finishes.finish([(failed if how == "handed back" and not claim.transferable else ENDS[how])(claim)])

    @rule(node=st.sampled_from(NODES))
    def work_off(self, node: str) -> None:
        self.claim(node, 3)
        self.store.finishes.finish([completed(claim) for claim in self.claims if claim.node_id == node])

    @rule(node=st.sampled_from(NODES))
    def lose(self, node: str) -> None:
        silence(self.store, node, 60)
        self.store.suspect(node, 10)

    @rule(node=st.sampled_from(NODES))
    def beat(self, node: str) -> None:
        self.store.nodes.beat(node, 0)

    @rule(master=st.sampled_from(MASTERS), behind=st.integers(0, 2))
    def take_over(self, master: str, behind: int) -> None:
        running = value(self.store, "SELECT status FROM batch_job_execution") == JobStatus.STARTED
        taken = self.store.coordination.take_over(self.job, self.term - behind, master)
        assert taken == (running and behind == 0)
        self.term += taken

    @rule(behind=st.integers(0, 2))
    def advance(self, behind: int) -> None:
        before = self.states()
        self.store.advancing.advance(self.job, self.term - behind)
        assert behind == 0 or self.states() == before, "a former master wrote"

    def states(self) -> list[tuple[Any, ...]]:
        return rows(self.store, "SELECT step_name, status FROM batch_step_execution ORDER BY position")

    @rule()
    def stop(self) -> None:
        self.store.coordination.request_stop(self.job)

    # --- what always holds ---------------------------------------------------

    @invariant()
    def ends_are_final(self) -> None:
        final = rows(
            self.store,
            "SELECT step_execution_id, status, attempt, exit_code FROM batch_partitions "
            "WHERE status IN ('COMPLETED', 'FAILED')",
        )
        now = {row[0]: row for row in final}
        assert {one: now.get(one) for one in self.ended} == self.ended
        self.ended = now

    @invariant()
    def one_result_of_the_attempt_that_counts(self) -> None:
        wrong = rows(
            self.store,
            "SELECT p.step_execution_id FROM batch_partitions p "
            "LEFT JOIN batch_results r ON r.step_execution_id = p.step_execution_id WHERE p.status = 'COMPLETED' "
            "AND (r.attempt IS NULL OR r.attempt <> p.attempt OR r.claim_token <> p.claim_token)",
        )
        assert not wrong

    @invariant()
    def the_history_counts_attempts_and_ends(self) -> None:
        claimed: Counter[int] = Counter()
        started: Counter[int] = Counter()
        over: set[int] = set()
        # FENCED tells of an outcome that was dropped, whenever it comes.
        for phase, members in rows(
            self.store,
            "SELECT phase, members FROM batch_events WHERE members IS NOT NULL AND phase <> 'FENCED' ORDER BY event_id",
        ):
            for partition, attempt in parse_members(members):
                assert partition not in over, f"{phase} after the end of {partition}"
                claimed[partition] += phase == "CLAIMED"
                started[partition] += phase == "STARTED"
                assert attempt == claimed[partition], (phase, attempt, claimed[partition])
                if phase in ("COMPLETED", "FAILED", "CANCELLED"):
                    over.add(partition)
        assert over == set(self.ended)
        assert max(started.values(), default=0) <= 1, "what may begin once began twice"
        lost = {one for one, row in self.ended.items() if row[3] == "NODE_LOST"}
        assert all(started[one] for one in lost), "work that had not begun was not moved"

    @invariant()
    def the_job_ends_once_and_rightly(self) -> None:
        status = value(self.store, "SELECT status FROM batch_job_execution")
        ends = count(self.store, "batch_events", "phase = 'COMPLETION_DETECTED'")
        assert ends == (status in JOB_FINAL)
        open_ones = count(self.store, "batch_partitions", "status IN ('PENDING', 'CLAIMED')")
        assert not (ends and open_ones)
        called = {row[0]: row[1] for row in self.called()}
        ordinary = [row[1] for row in self.states() if row[0] in ("map", "fold")]
        assert len(called) < 2, "both callbacks"
        assert "well" not in called or set(ordinary) == {"COMPLETED"}
        assert "ill" not in called or "FAILED" in ordinary
        if status == "COMPLETED":
            assert set(ordinary) | set(called.values()) == {"COMPLETED"}
            assert "well" in called

    def called(self) -> list[tuple[Any, ...]]:
        return rows(
            self.store,
            "SELECT s.step_name, s.status FROM batch_step_execution s "
            "JOIN batch_partitions p ON p.master_step_execution_id = s.step_execution_id WHERE s.kind LIKE 'ON_%'",
        )


def test_any_order_of_events_keeps_the_promises(store: Store, pytestconfig: pytest.Config) -> None:
    machine = type("ProtocolOnThisDatabase", (Protocol,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
