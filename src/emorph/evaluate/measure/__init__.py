"""From pairs of photos to records on disk: every photo is looked at once, and a stopped run goes on where it was."""
