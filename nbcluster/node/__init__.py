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
