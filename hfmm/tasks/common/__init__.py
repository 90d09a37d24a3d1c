"""Helpers of the tasks: batches, losses, generation, checks of rows."""
