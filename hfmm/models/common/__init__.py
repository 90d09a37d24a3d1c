"""Helpers of the model families: checkpoints, chat templates, assembly of fused models."""
