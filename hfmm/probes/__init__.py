"""One probe a file: predictions that something other than the tuned model makes of the test split.

A probe module has ``CONDITION``, the name under which its scores are recorded, and ``predict(recipe, task, data)``,
which returns one prediction for each row of ``data["test"]``. One that runs other weights names them, ``base`` or
``random``, in ``WEIGHTS``. Its docstring explains the condition in the card.
"""
