"""A private JupyterLab server: 127.0.0.1, a random port and token, nothing of the developer's own settings."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

SETTINGS: dict[str, dict[str, Any]] = {
    "@jupyterlab/apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # every cell is in the page
}
OPTIONS = (
    "--no-browser",
    "--allow-root",
    "--ip=127.0.0.1",
    "--ServerApp.port_retries=0",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.extension_manager=readonly",
    "--JupyterNotebookApp.expose_app_in_browser=True",
)


class Lab:
    """The server process, the folder it serves, and its kernels."""

    def __init__(self, base: Path) -> None:
        self.folder = base / "notebooks"
        self.folder.mkdir(parents=True)
        self._base = base
        self._token = os.urandom(16).hex()
        self._port = _free_port()
        for name, values in SETTINGS.items():
            file = base / "settings" / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "jupyterlab", *OPTIONS, f"--port={self._port}"]
        with (self._base / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, f"--ServerApp.root_dir={self.folder}"],
                env=self._environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, 90, (self._base / "server.log").read_text)

    def stop(self) -> None:
        """End the kernels and the server."""
        if self._process.poll() is None:
            for kernel in self.get("/api/kernels"):
                self.end_kernel(kernel["id"])
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def address(self, page: str) -> str:
        """The URL of a page of the server, with the token."""
        return f"http://127.0.0.1:{self._port}/{page}?token={self._token}"

    def get(self, path: str) -> Any:
        """What the server's API says."""
        return json.loads(self._request(path))

    def end_kernel(self, kernel_id: str) -> None:
        """Shut a kernel down."""
        self._request(f"/api/kernels/{kernel_id}", "DELETE")

    def _request(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}", method=method, headers={"Authorization": f"token {self._token}"}
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=20) as answer:
            content: bytes = answer.read()
            return content

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._base / "server.log").read_text()
        try:
            return bool(self.get("/api/status"))
        except (urllib.error.URLError, OSError):
            return False

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY_"))}
        own = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }
        return kept | {name: str(self._base / folder) for name, folder in own.items()} | {"JUPYTER_TOKEN": self._token}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
