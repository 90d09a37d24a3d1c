import json
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models

from hfmm.assets import CHECKPOINTS
from hfmm.data import text_questions
from hfmm.metrics import exact_match
from hfmm.models.common.checkpoint import load_saved
from hfmm.tasks.text_generation import TextGenerationTask

FOLDER = CHECKPOINTS / "tiny-llm"


def test_tokenizer_is_reproducible_from_the_training_data(tmp_path: Path) -> None:
    saved = json.loads((FOLDER / "tokenizer.json").read_text())["model"]
    rows = text_questions.build(text_questions.TextQuestionsOptions(train=20_000, validation=1, test=1), tmp_path)[
        "train"
    ]
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|end|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        (
            message["content"] if message["role"] == "user" else f" {message['content']}"
            for row in rows
            for message in row["messages"]
        ),
        trainer,
    )
    trained = json.loads(tokenizer.to_str())["model"]
    assert (saved["vocab"], saved["merges"]) == (trained["vocab"], trained["merges"])


def test_checkpoint_is_small_and_answers_questions_about_new_cells(tmp_path: Path) -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.*")) <= 10e6
    model, tokenizer = load_saved(str(FOLDER))
    task = TextGenerationTask(model.config, tokenizer, TextGenerationTask.Options())
    rows = text_questions.build(text_questions.TextQuestionsOptions(train=1, validation=1, test=64), tmp_path)["test"]
    predictions = list(task.predict(model.float().eval(), rows, 32))
    scores = exact_match.row_statistics(predictions, [task.reference(row) for row in rows])
    accuracy = {name: correct.sum() / total.sum() for name, (correct, total) in scores.items()}
    assert accuracy[""] > 0.8
    assert min(accuracy["tense"], accuracy["person"]) > 0.9
