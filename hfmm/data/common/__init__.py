"""Helpers of the dataset builders: decoding, splits, row checks, drawing and speech synthesis."""
