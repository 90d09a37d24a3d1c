from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from hfmm.data import icons, undecoded
from hfmm.data.labels import label_names
from hfmm.probes import colour_histogram
from hfmm.tasks.image_classification import Task


def test_colour_tells_the_tense_and_nothing_else(tmp_path: Path) -> None:
    options = icons.Options(train=300, validation=1, test=120, hold_out="row", size=32)
    data = undecoded(icons.build(options, tmp_path))
    names = label_names(data["train"].features)
    config = SimpleNamespace(id2label=dict(enumerate(names)), problem_type="multi_label_classification")
    task = Task(config, None, Task.Options())
    predictions = colour_histogram.predict(None, task, data)  # type: ignore[arg-type]
    pairs = [(one["prediction"], task.reference(row)) for one, row in zip(predictions, data["test"], strict=True)]
    lemma, tense, person = (sum(said[at] == true[at] for said, true in pairs) / len(pairs) for at in range(3))
    assert tense > 0.85
    assert lemma < 0.2
    assert person < 0.7
