"""One moment of a job, or of the whole cluster, as the live views show it."""
