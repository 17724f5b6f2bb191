"""What there is to train: one file a task."""
