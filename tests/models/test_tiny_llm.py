import json
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers import models as kinds

from hfmm.assets import CHECKPOINTS
from hfmm.data import text_questions
from hfmm.metrics import exact_match
from hfmm.models.common.checkpoint import load_saved
from hfmm.tasks.text_generation import TextGenerationTask

FOLDER = CHECKPOINTS / "tiny-llm"


def test_its_tokens_are_those_of_the_exercises(tmp_path: Path) -> None:
    own = json.loads((FOLDER / "tokenizer.json").read_text())["model"]
    rows = text_questions.build(text_questions.TextQuestionsOptions(train=20_000, validation=1, test=1), tmp_path)[
        "train"
    ]
    tokenizer = Tokenizer(kinds.BPE())
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
    again = json.loads(tokenizer.to_str())["model"]
    assert (own["vocab"], own["merges"]) == (again["vocab"], again["merges"])


def test_it_is_small_and_answers_about_cells_that_it_was_never_shown(tmp_path: Path) -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.*")) <= 10e6
    model, tokenizer = load_saved(str(FOLDER))
    task = TextGenerationTask(model.config, tokenizer, TextGenerationTask.Options())
    rows = text_questions.build(text_questions.TextQuestionsOptions(train=1, validation=1, test=64), tmp_path)["test"]
    said = list(task.predict(model.float().eval(), rows, 32))
    scores = exact_match.row_statistics(said, [task.reference(row) for row in rows])
    share = {name: top.sum() / bottom.sum() for name, (top, bottom) in scores.items()}
    assert share[""] > 0.8
    assert min(share["tense"], share["person"]) > 0.9
