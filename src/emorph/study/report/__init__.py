"""A study's results as files: the page, and its tables as CSV, Markdown and LaTeX."""
