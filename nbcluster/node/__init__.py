"""Executes partitions: claims them, runs them in child processes, records how they ended.

::

    node process                                          child processes
    ------------------------------------------------      ----------------------
    heartbeat thread   beat ----------> database
    maintenance thread sweep, take over -> database
    worker thread      claim, finish <-> database
        | calls, outcomes (deques)
    executor thread    one selector over all children <-> child 1: bytes in, outcome out
                                                      <-> child 2 ...

User code runs only in children.  They know no database, no key and no settings.
"""

import logging

# What happens behind the scenes is for a node's log.  Without a handler Python would print it into whichever
# cell of a notebook is running.
logging.getLogger(__name__).addHandler(logging.NullHandler())
