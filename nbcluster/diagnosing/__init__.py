"""Examining a cluster: facts in, findings with their cures out."""
