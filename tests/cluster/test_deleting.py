"""A job that is deleted, with all that was stored for it anywhere."""

from __future__ import annotations

import numpy as np
import pytest

import nbcluster as nb
from tests.cluster.conftest import Lab
from tests.cluster.test_large_values import kept, ramp, streams, way  # noqa: F401 -- a fixture


def test_a_deleted_job_takes_its_values_with_it(lab: Lab, way: dict[str, str]) -> None:  # noqa: F811
    lab.nodes(1, slots=1)
    cluster = lab.connect()
    other = cluster.map(lambda array: array, [ramp(2)], **way).wait(60)
    job = cluster.map(lambda array: array * 2, [ramp(0), ramp(1)], name="ramps", chunk=1, **way).wait(60)
    assert len(kept(lab)) + streams(lab) == 6
    job.delete()
    assert len(kept(lab)) + streams(lab) == 2
    with pytest.raises(nb.UnknownJob, match="there is no job 'ramps'"):
        cluster.job("ramps")
    with pytest.raises(nb.UnknownJob, match="is gone"):
        job.delete()
    np.testing.assert_array_equal(other.results()[0], ramp(2))


def test_a_running_job_is_not_deleted(lab: Lab) -> None:
    job = lab.connect().map(len, ["waits for a node"])
    with pytest.raises(nb.InputError, match=r"is running and cannot be deleted; cancel\(\) it first"):
        job.delete()
    job.cancel()
    job.delete()
