"""Editing photographs: read pipeline.py first."""
