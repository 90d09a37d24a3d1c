"""hfmm: from one recipe to a verified, publishable multimodal model.

Importing this package loads no torch; every module says in its first line what it is for.
"""

__version__ = "0.1.0"
