"""Files that hold large values: for a while in a spool, for good in a folder beside the database or elsewhere.

Knows no database and no key: what is written here is signed and checked elsewhere.
"""
