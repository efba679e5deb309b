"""The formats of recordings: one file each, behind one door (`registry.py`).

A format is a `Format` (`format.py`) in a file of its own, and its entry in the registry. What
several share stands beside them: equal records (`records.py`), events as columns (`fields.py`).
"""
