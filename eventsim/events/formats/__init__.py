"""The formats of recordings: one file each, behind one door (`registry.py`)."""
