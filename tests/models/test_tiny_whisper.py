import json
import string
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers import models as kinds

from hfmm import models
from hfmm.data import clips
from hfmm.data.audio import decode_rows
from hfmm.grammar.outside import outside_sentences
from hfmm.metrics import wer
from hfmm.resources import CHECKPOINTS
from hfmm.tasks.listener import Listener

FOLDER = CHECKPOINTS / "tiny-whisper"


def test_its_tokens_are_those_of_the_sentences_outside_the_20_verbs() -> None:
    own = json.loads((FOLDER / "tokenizer.json").read_text())["model"]
    tokenizer = Tokenizer(kinds.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=256,
        initial_alphabet=sorted({"Ġ", *string.ascii_letters, *string.digits, *".,'?!"}),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f" {text}" for _, text in outside_sentences()), trainer)
    again = json.loads(tokenizer.to_str())["model"]
    assert (own["vocab"].items() >= again["vocab"].items(), own["merges"]) == (True, again["merges"])


def test_it_is_small_and_takes_down_verbs_that_it_was_never_taught(tmp_path: Path) -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.*")) <= 10e6
    model, processor = models.reload(str(FOLDER))
    rows = clips.build(clips.Options(), tmp_path)["train"].select(range(0, 2000, 50))
    said = list(Listener(processor).transcribe(model.float().eval(), decode_rows(rows), 8))
    edits, words = wer.statistics(said, [{"text": text} for text in rows["text"]])[""]
    assert edits.sum() / words.sum() < 0.5
