"""Owns a job: sees that it ends, and takes over from a master that is gone.

The launcher is master of its job from the submission on; there is no election in
normal running and no leader of everything.
"""

import logging

# What happens behind the scenes is for a node's log.  Without a handler Python would print it into whichever
# cell of a notebook is running.
logging.getLogger(__name__).addHandler(logging.NullHandler())
