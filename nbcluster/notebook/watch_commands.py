"""The line commands that look at everything: ``watch`` and ``doctor``."""

from __future__ import annotations

from nbcluster.diagnosing.diagnosis import Diagnosis
from nbcluster.diagnosing.examining import examine
from nbcluster.notebook.arguments import Arguments
from nbcluster.notebook.session import Session


def watch(session: Session, arguments: Arguments) -> None:
    """A live view of a job, or of the whole cluster; binds no name and takes nothing over."""
    from nbcluster.notebook import watching

    cluster = session.cluster
    shown = cluster.job(arguments.job) if arguments.job else cluster
    watching.watch(shown, session.shell, arguments.progress)


def doctor(session: Session, arguments: Arguments) -> Diagnosis:
    """A table of findings; also when the database cannot be used."""

    def examined() -> Diagnosis:
        return session.cluster.doctor()  # connects, if nobody has

    return examine(examined)
