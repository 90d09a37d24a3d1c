"""One probe a file: predictions that something other than the tuned model makes of the test split.

A probe module has ``CONDITION``, the name under which its scores are recorded, ``WEIGHTS`` where they are those of
other weights (``base`` or ``random``), and ``predict(recipe, task, data)``, which returns one prediction for each row
of ``data["test"]``.
"""
