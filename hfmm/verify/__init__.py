"""Verification in a clean process that the saved model gives the recorded predictions."""
