"""``%%nbcluster sql``: a question in SQL over the cluster's tables and the notebook's frames."""

from __future__ import annotations

from typing import Any

from nbcluster.notebook.arguments import Arguments
from nbcluster.notebook.complaints import usage
from nbcluster.notebook.session import Session


def run(session: Session, arguments: Arguments, body: str) -> Any:
    """The answer as a frame: the cell's value, or bound to the name of ``-o``."""
    from nbcluster.query import ask, parsed

    namespace = session.namespace
    with usage():
        given = {name: namespace[name] for name in parsed(body).parameters if name in namespace}
        answer = ask(session.cluster, body, given, namespace.get)
    if arguments.out is None:
        return answer
    session.shell.push({arguments.out: answer})
    return None
