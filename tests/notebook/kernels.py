"""A real kernel, and a client that can pose as a front end."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

from jupyter_client.manager import KernelManager

PATIENCE = 60.0
Message = dict[str, Any]


class Kernel:
    """A kernel process; cells are sent as a front end sends them, or as a program does."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=environment)
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def send(self, code: str, *, front_end: bool) -> str:
        """Send a cell; gives its message id."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        metadata = {"cellId": "a-cell"} if front_end else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def typing(self, code: str, *answers: str) -> list[Message]:
        """Run a cell that asks its reader, who answers this."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": True}
        message = self.client.session.msg("execute_request", content, metadata={"cellId": "a-cell"})
        self.client.shell_channel.send(message)
        for answer in answers:
            self.client.get_stdin_msg(timeout=PATIENCE)
            self.client.input(answer)
        return self.until_idle(str(message["header"]["msg_id"]))

    def until(self, wanted: Callable[[Message], bool]) -> list[Message]:
        """Messages to everybody, up to and with the one that is wanted."""
        seen: list[Message] = []
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            seen.append(message)
            if wanted(message):
                return seen
        raise AssertionError(f"it did not come; there were {[m['msg_type'] for m in seen]}")

    def run(self, code: str, *, front_end: bool = True) -> list[Message]:
        """Run a cell to its end."""
        return self.until_idle(self.send(code, front_end=front_end))

    def until_idle(self, sent: str) -> list[Message]:
        """Messages up to the end of a cell; what is sent before it may be dropped when the cell fails."""
        return self.until(
            lambda m: (
                m["msg_type"] == "status"
                and m["content"]["execution_state"] == "idle"
                and m["parent_header"].get("msg_id") == sent
            )
        )

    def stop(self) -> None:
        """End the process, as closing a notebook does."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


def of_type(messages: list[Message], *kinds: str) -> list[Message]:
    return [message for message in messages if message["msg_type"] in kinds]


def shown(messages: list[Message]) -> list[dict[str, Any]]:
    """What a front end would have in the cell at the end: each output by its place, after all updates."""
    outputs: list[dict[str, Any]] = []
    places: dict[str, int] = {}
    for message in of_type(messages, "display_data", "update_display_data", "execute_result"):
        name = message["content"].get("transient", {}).get("display_id")
        if message["msg_type"] == "update_display_data":
            outputs[places[name]] = message["content"]["data"]
            continue
        places[name] = len(outputs)
        outputs.append(message["content"]["data"])
    return outputs


def printed(messages: list[Message]) -> str:
    return "".join(message["content"]["text"] for message in of_type(messages, "stream"))
