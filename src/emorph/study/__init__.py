"""The user study: people judge the edits on a page, and what they answered becomes numbers."""
