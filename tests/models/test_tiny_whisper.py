import json
import string
from pathlib import Path

from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers import models as tokenizer_models

from hfmm.assets import CHECKPOINTS
from hfmm.data import spoken_verbs
from hfmm.data.common.audio import decode_rows
from hfmm.grammar.open_vocabulary import open_vocabulary_sentences
from hfmm.metrics import wer
from hfmm.models.common.checkpoint import load_saved
from hfmm.models.common.seq2seq_transcriber import Seq2SeqTranscriber

FOLDER = CHECKPOINTS / "tiny-whisper"


def test_tokenizer_is_reproducible_from_the_training_data() -> None:
    saved = json.loads((FOLDER / "tokenizer.json").read_text())["model"]
    tokenizer = Tokenizer(tokenizer_models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=256,
        initial_alphabet=sorted({"Ġ", *string.ascii_letters, *string.digits, *".,'?!"}),
        show_progress=False,
    )
    tokenizer.train_from_iterator((f" {text}" for _, text in open_vocabulary_sentences()), trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    assert (saved["vocab"].items() >= trained["vocab"].items(), saved["merges"]) == (True, trained["merges"])


def test_checkpoint_is_small_and_transcribes_new_verbs(tmp_path: Path) -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.*")) <= 10e6
    model, processor = load_saved(str(FOLDER))
    rows = spoken_verbs.build(spoken_verbs.SpokenVerbsOptions(), tmp_path)["train"].select(range(0, 2000, 50))
    predictions = list(
        Seq2SeqTranscriber(model.config, processor).transcribe(model.float().eval(), decode_rows(rows), 8)
    )
    edits, words = wer.row_statistics(predictions, [{"text": text} for text in rows["text"]])[""]
    assert edits.sum() / words.sum() < 0.5
