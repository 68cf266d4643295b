"""The command line: ``nbcluster-node`` runs a node, ``nbcluster`` looks and acts."""
