from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

from hfmm.baselines import colour_histogram
from hfmm.data import disable_media_decoding, icons
from hfmm.data.common.labels import label_names
from hfmm.tasks.image_classification import ImageClassificationTask


def test_color_predicts_the_tense_and_not_the_other_labels(tmp_path: Path) -> None:
    options = icons.IconsOptions(train=300, validation=1, test=120, hold_out="row", size=32)
    data = disable_media_decoding(icons.build(options, tmp_path))
    names = label_names(data["train"].features)
    config = SimpleNamespace(id2label=dict(enumerate(names)), problem_type="multi_label_classification")
    task = ImageClassificationTask(config, None, ImageClassificationTask.Options())
    predictions = colour_histogram.predict(None, task, None, data)  # type: ignore[arg-type]
    references = [task.reference(row) for row in data["test"]]
    lemma, tense, person = (
        sum(
            row["prediction"][index] == reference[index] for row, reference in zip(predictions, references, strict=True)
        )
        / len(references)
        for index in range(3)
    )
    assert tense > 0.85
    assert lemma < 0.2
    assert person < 0.7


def test_embeddings_hold_training_groups_and_predict_the_tense(tmp_path: Path) -> None:
    from hfmm.tasks import contrastive

    options = icons.IconsOptions(train=300, validation=1, test=120, hold_out="row", size=32)
    data = disable_media_decoding(icons.build(options, tmp_path))
    task = contrastive.ContrastiveTask(
        SimpleNamespace(model_type="clip"), SimpleNamespace(image_processor=None), contrastive.ContrastiveTask.Options()
    )
    predictions = colour_histogram.predict(None, task, None, data)  # type: ignore[arg-type]
    groups = sorted(set(data["train"]["group"][:]))
    predicted = [groups[int(prediction["image"].argmax())].split("/") for prediction in predictions]
    pairs = list(zip(predicted, [row["group"].split("/") for row in data["test"]], strict=True))
    assert sum(prediction[1] == reference[1] for prediction, reference in pairs) / len(pairs) > 0.6
    assert sum(prediction == reference for prediction, reference in pairs) / len(pairs) < 0.2
