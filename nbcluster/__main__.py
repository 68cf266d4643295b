"""``python -m nbcluster`` is ``nbcluster-node``."""

from nbcluster.cli.node import main

raise SystemExit(main())
