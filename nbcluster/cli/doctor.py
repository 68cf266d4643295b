"""``nbcluster doctor``: what is wrong, and the command that cures it."""

from __future__ import annotations

import argparse
import sys

from nbcluster.cli.connecting import cluster_of
from nbcluster.diagnosing.diagnosis import Diagnosis
from nbcluster.diagnosing.examining import examine, findings


def doctor(options: argparse.Namespace) -> int:
    """Examine the cluster; gives 0 if all is well."""
    from nbcluster.cli.listing import FINDINGS, clean, write

    diagnosis = examine(lambda: _examined(options))
    if options.form == "table":
        print("\n".join(clean(line) for line in str(diagnosis).splitlines()))
    else:
        write(sys.stdout, FINDINGS, diagnosis.findings, options.form)
    return diagnosis.exit_code


def _examined(options: argparse.Namespace) -> Diagnosis:
    with cluster_of(options) as cluster:
        given = f" --url '{cluster.url}'" if options.url else ""
        return findings(cluster.store, cluster.settings, cluster.url_origin, magic="nbcluster", given=given)
