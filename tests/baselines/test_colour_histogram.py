from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from hfmm.baselines import colour_histogram
from hfmm.data import disable_media_decoding, icons
from hfmm.data.common.labels import label_names
from hfmm.tasks.image_classification import ImageClassificationTask


def test_colour_tells_the_tense_and_nothing_else(tmp_path: Path) -> None:
    options = icons.IconsOptions(train=300, validation=1, test=120, hold_out="row", size=32)
    data = disable_media_decoding(icons.build(options, tmp_path))
    names = label_names(data["train"].features)
    config = SimpleNamespace(id2label=dict(enumerate(names)), problem_type="multi_label_classification")
    task = ImageClassificationTask(config, None, ImageClassificationTask.Options())
    predictions = colour_histogram.predict(None, task, None, data)  # type: ignore[arg-type]
    pairs = [(one["prediction"], task.reference(row)) for one, row in zip(predictions, data["test"], strict=True)]
    lemma, tense, person = (sum(said[at] == true[at] for said, true in pairs) / len(pairs) for at in range(3))
    assert tense > 0.85
    assert lemma < 0.2
    assert person < 0.7


def test_for_embeddings_it_answers_with_the_training_groups_and_finds_the_tense(tmp_path: Path) -> None:
    from hfmm.tasks import contrastive

    options = icons.IconsOptions(train=300, validation=1, test=120, hold_out="row", size=32)
    data = disable_media_decoding(icons.build(options, tmp_path))
    task = contrastive.ContrastiveTask(
        SimpleNamespace(model_type="clip"), SimpleNamespace(image_processor=None), contrastive.ContrastiveTask.Options()
    )
    predictions = colour_histogram.predict(None, task, None, data)  # type: ignore[arg-type]
    groups = sorted(set(data["train"]["group"][:]))
    said = [groups[int(one["image"].argmax())].split("/") for one in predictions]
    true = [row["group"].split("/") for row in data["test"]]
    assert sum(one[1] == other[1] for one, other in zip(said, true, strict=True)) / len(true) > 0.6
    assert sum(one == other for one, other in zip(said, true, strict=True)) / len(true) < 0.2
