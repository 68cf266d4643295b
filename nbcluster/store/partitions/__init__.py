"""The guarded transitions of a partition: the only writers of its status.

Each update names the partition, its owner, its attempt, its random claim token
and the states it expects, and obeys the row count: what does not come back is
"no longer mine".  That fences a process that was paused, cut off or declared
dead.  Statements are built once; a claim or a completion of any size is one.
"""

from nbcluster.store.partitions.checkpoints import Checkpoints
from nbcluster.store.partitions.claim import Claims
from nbcluster.store.partitions.finish import Finishes
from nbcluster.store.partitions.release import Releases
from nbcluster.store.partitions.reports import Reports

__all__ = ["Checkpoints", "Claims", "Finishes", "Releases", "Reports"]
