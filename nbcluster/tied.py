"""What is shipped in place of a local step's function that cannot leave its process."""

from __future__ import annotations

from typing import Any

from nbcluster.errors import JobError


class TiedToLauncher:
    """Raises wherever it is called: its function could have run in the launcher only, and that is gone."""

    __name__ = "tied"

    def __init__(self, step: str, why: str) -> None:
        self._step = step
        self._why = why

    def __call__(self, *_given: Any) -> None:
        """Say why it cannot run."""
        raise JobError(
            f"step {self._step!r} could run only in the process that launched it, which is gone; its function cannot "
            f"be sent to a node ({self._why}); run the pipeline again"
        )
