"""``%nbcluster`` and ``%%nbcluster``: read the line, hand it to its command."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from traitlets import Unicode, observe

from nbcluster import display, postmortem
from nbcluster.notebook import arguments as lines
from nbcluster.notebook import completion
from nbcluster.notebook import help as texts
from nbcluster.notebook.complaints import one_line, usage
from nbcluster.notebook.declared import CELL, LINE
from nbcluster.notebook.session import Session, say

_REGISTERED = "NBCluster"


@magics_class
class NBCluster(Magics):
    """The magics, configurable as ``c.NBCluster.url`` or ``%config NBCluster.url = "..."``."""

    url = Unicode("", help="SQLAlchemy URL of the database; used where %nbcluster connect names none.").tag(config=True)

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.session = Session(shell, self.url)

    @observe("url")
    def _url_changed(self, change: dict[str, Any]) -> None:
        # Another database from the next command on; a change before the first one costs nothing.
        if hasattr(self, "session"):
            self.session.url = change["new"]
            self.session.close()

    @no_var_expand
    @line_cell_magic
    def nbcluster(self, line: str, cell: str | None = None) -> Any:
        """Both magics; ``help.overview()`` takes this text's place."""
        __tracebackhide__ = True
        kind = LINE if cell is None else CELL
        with one_line(self.shell):
            with usage():
                arguments = lines.parse(line, kind)
            if arguments.show:
                return self._show(arguments, cell)
            if arguments.kind == LINE:
                from nbcluster.notebook import line_commands

                return line_commands.run(self.session, arguments)
            from nbcluster.notebook import cell_commands

            return cell_commands.run(self.session, arguments, line, cell or "")

    def _show(self, arguments: lines.Arguments, cell: str | None) -> None:
        from nbcluster.notebook import equivalent

        with usage():
            if cell is None:
                say(equivalent.of_line(self.session, arguments))
            else:
                say(equivalent.of_cell(self.session, arguments, cell))


NBCluster.nbcluster.__doc__ = texts.overview()


def install(shell: Any) -> None:
    """Register the magics, their configuration and their completion, once."""
    if _installed(shell) is not None:
        return
    magics = NBCluster(shell)
    shell.register_magics(magics)
    display.install(_InShell(shell))
    drawn = shell.display_formatter.ipython_display_formatter
    drawn.for_type_by_name("nbcluster.handle", "JobHandle", lambda handle: _draw_once(handle, shell))
    postmortem.install(lambda error: _post_mortem(error, shell))
    completion.install(shell, magics.session)


class _InShell:
    """Shows what is asked for; what that needs is imported only then."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def mimebundle(self, shown: object) -> dict[str, Any]:
        from nbcluster.notebook.display import mimebundle

        return mimebundle(shown, self._shell)

    def watch(self, shown: Any) -> None:
        from nbcluster.notebook.watching import watch

        watch(shown, self._shell)

    def awaited(self, handle: Any) -> AbstractAsyncContextManager[None]:
        from nbcluster.notebook.job_view import awaited

        return awaited(handle, handle.cluster.settings.display, self._shell)


def _draw_once(handle: Any, shell: Any) -> None:
    """Nothing, where this cell's own view of the job stands already.  Else IPython goes on with the other ways."""
    from nbcluster.notebook.job_view import stands_in_cell

    if not stands_in_cell(handle, shell):
        raise NotImplementedError


def _post_mortem(error: BaseException, shell: Any) -> None:
    from nbcluster.notebook.debug_commands import post_mortem

    post_mortem(error, shell)


def remove(shell: Any) -> None:
    """Undo ``install``."""
    magics = _installed(shell)
    if magics is None:
        return
    magics.session.close()
    shell.configurables.remove(magics)
    postmortem.install(None)
    completion.remove(shell)
    display.uninstall()
    shell.magics_manager.registry.pop(_REGISTERED, None)
    for kind in (LINE, CELL):
        shell.magics_manager.magics[kind].pop("nbcluster", None)


def _installed(shell: Any) -> NBCluster | None:
    found = shell.magics_manager.registry.get(_REGISTERED)
    return found if isinstance(found, NBCluster) else None
