"""Searching the settings of a task: which values are best on validation faces, and for how many epochs."""
