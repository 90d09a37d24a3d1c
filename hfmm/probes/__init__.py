"""One probe a file: predictions of the test split by something simpler than the tuned model, or from less than it sees.

A probe module has ``CONDITION``, the name under which its scores are recorded, and ``predict(recipe, task, tuned,
data)``, which returns one prediction for each row of ``data["test"]``; ``tuned`` is the model as it was saved. One that
runs weights names them, ``tuned``, ``base`` or ``random``, in ``WEIGHTS``. Its docstring explains the condition in the
card.
"""
