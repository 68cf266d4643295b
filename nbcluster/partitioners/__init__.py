"""How inputs are split: each partitioner in a module of its own, what they share in ``base``.

A partitioner gives named parts, small enough to travel: numbers, items, rows of a frame,
or a handle that reads where it arrives.  The split is stored when it is first made and
never computed again.
"""
