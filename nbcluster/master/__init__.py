"""Owns a job: sees that it ends, and takes over from a master that is gone.

The launcher is master of its job from the submission on; there is no election in
normal running and no leader of everything.
"""
