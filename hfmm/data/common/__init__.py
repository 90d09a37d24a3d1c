"""Helpers of the dataset builders: decoding, splits, screening, drawing and speech synthesis."""
