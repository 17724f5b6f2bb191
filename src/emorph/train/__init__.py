"""Training: plan, loop, checkpoints, and one file a task."""
