# ruff: noqa: INP001 -- a folder for PYTHONPATH alone
"""What Python needs to live under libfaketime with an honest monotonic clock; on PYTHONPATH of skewed processes.

With the monotonic clock faked, too, a wait with a time-out never ends; with it honest,
libfaketime 0.9.10 makes ``time.sleep`` fail (EINVAL).  Waiting for nothing sleeps as well.
"""

import threading
import time


def _sleep(seconds: float) -> None:
    if seconds > 0:
        threading.Event().wait(seconds)


time.sleep = _sleep
