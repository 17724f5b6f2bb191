"""Measures of edits, and the judges that take them."""
