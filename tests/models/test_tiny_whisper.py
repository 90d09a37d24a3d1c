import json
import string
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers import models as kinds

from hfmm.assets import CHECKPOINTS
from hfmm.data import spoken_verbs
from hfmm.data.common.audio import decode_rows
from hfmm.grammar.open_vocabulary import open_vocabulary_sentences
from hfmm.metrics import wer
from hfmm.models.common.checkpoint import load_saved
from hfmm.tasks.common.transcriber import Transcriber

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
    tokenizer.train_from_iterator((f" {text}" for _, text in open_vocabulary_sentences()), trainer)
    again = json.loads(tokenizer.to_str())["model"]
    assert (own["vocab"].items() >= again["vocab"].items(), own["merges"]) == (True, again["merges"])


def test_it_is_small_and_takes_down_verbs_that_it_was_never_taught(tmp_path: Path) -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.*")) <= 10e6
    model, processor = load_saved(str(FOLDER))
    rows = spoken_verbs.build(spoken_verbs.SpokenVerbsOptions(), tmp_path)["train"].select(range(0, 2000, 50))
    said = list(Transcriber(processor).transcribe(model.float().eval(), decode_rows(rows), 8))
    edits, words = wer.row_statistics(said, [{"text": text} for text in rows["text"]])[""]
    assert edits.sum() / words.sum() < 0.5
