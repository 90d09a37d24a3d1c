"""Helpers of the tasks: inputs, batches, losses, generation and checks of rows."""
