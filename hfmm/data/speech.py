"""Spoken English: phrases and sentences with the 20 verbs or with other verbs, in several synthetic voices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from datasets import DatasetDict, Features, Value
from pydantic import Field, field_validator, model_validator

from hfmm.data.common.audio import AUDIO_FEATURE, AUDIO_STRUCT, decode, encode
from hfmm.data.common.audio_augment import augment
from hfmm.data.common.generate import SPLITS, Split, generate_splits, split_sizes
from hfmm.data.common.tts import VOICES
from hfmm.data.common.tts_cache import SpeechRequest, load_or_synthesize, synthesize_all
from hfmm.data.common.verb_cells import balanced_index, cells_in_split
from hfmm.grammar import CELLS, VerbCell
from hfmm.grammar.captions import as_sentence, phrases
from hfmm.grammar.open_vocabulary import open_vocabulary_phrases, open_vocabulary_sentences
from hfmm.grammar.sentences import sentences
from hfmm.recipe.validation import StrictModel

DESCRIPTION = (
    "English verb forms spoken by synthetic voices, 16 kHz mono. `text` is the transcript with a capital letter and a "
    "period (`He works.`, `For him to work.`, `He has worked.`). `group` is lemma/tense/person of its verb. The past "
    "forms of *read* are pronounced *red*."
)

Content = Literal["phrases", "sentences", "outside phrases", "outside sentences"]


class SpeechOptions(StrictModel):
    """Options of `data: {builder: speech}`."""

    content: tuple[Content, ...] = Field(
        ("phrases",),
        min_length=1,
        description="phrases (pronoun and verb form) or sentences, with the 20 verbs or others (outside); several take "
        "turns, and one listed twice is twice as frequent",
    )
    max_words: int | None = Field(None, ge=2, description="drop longer texts; null keeps all")
    voices: tuple[str, ...] = Field(("heart",), min_length=1, description=f"any of {', '.join(VOICES)}")
    hold_out: Literal["speaker", "cell", "both"] = Field(
        "cell", description="speaker: the last voice is only in test, the second to last only in validation"
    )
    train: int = Field(1000, ge=1)
    validation: int = Field(150, ge=1)
    test: int = Field(300, ge=1)
    augment: bool = Field(False, description="random speed, pitch, room, noise, telephone and volume for every clip")
    codec: Literal["flac", "opus"] = Field("flac", description="opus: lossy, a tenth of the size")
    seed: int = Field(0, ge=0)

    @field_validator("content", mode="before")
    @classmethod
    def _wrap_single_content(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("voices")
    @classmethod
    def _check_voices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in VOICES]
        if unknown or len(set(value)) < len(value):
            raise ValueError(f"list each voice once; choose from {', '.join(VOICES)}")
        return value

    @model_validator(mode="after")
    def _check_voice_count(self) -> SpeechOptions:
        if self.hold_out != "cell" and len(self.voices) < 3:
            raise ValueError(f"hold_out: {self.hold_out} needs at least 3 voices, but voices has {len(self.voices)}")
        return self


class Utterance(NamedTuple):
    """A text, the cell of its verb, and its speaker."""

    cell: VerbCell
    text: str
    speaker: str


OPTIONS = SpeechOptions


def build(options: SpeechOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Synthesize the three splits. Each row depends only on the options, its split and its index.

    Synthesized clips are cached and reused. Raises UserError if a voice is not installed.
    """
    features = Features(
        {
            "id": Value("string"),
            "audio": AUDIO_STRUCT,
            "lemma": Value("string"),
            "tense": Value("string"),
            "person": Value("string"),
            "text": Value("string"),
            "group": Value("string"),
            "speaker": Value("string"),
        }
    )
    rows = [(split, index) for split, size in split_sizes(options).items() for index in range(size)]
    synthesize_all((_speech_request(_utterance_for_row(options, split, index)) for split, index in rows), num_proc)
    return generate_splits(_rows, options, features, cache, num_proc).cast_column("audio", AUDIO_FEATURE)


def _rows(options: SpeechOptions, split: Split, indices: list[int]) -> Iterator[dict[str, Any]]:
    for index in indices:
        utterance = _utterance_for_row(options, split, index)
        audio: dict[str, Any] = {"bytes": load_or_synthesize(_speech_request(utterance)), "path": None}
        if options.augment:
            rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
            audio = encode(augment(decode(audio), rng), options.codec)
        elif options.codec != "flac":
            audio = encode(decode(audio), options.codec)
        yield {
            "id": f"{split}-{index:06d}",
            "audio": audio,
            **utterance.cell._asdict(),
            "text": utterance.text,
            "group": "/".join(utterance.cell),
            "speaker": utterance.speaker,
        }


def _utterance_for_row(options: SpeechOptions, split: Split, index: int) -> Utterance:
    """Return the utterance of a row. The contents take turns. Each one cycles through its texts and speakers."""
    speakers = speakers_in_split(options.voices, split) if options.hold_out != "cell" else options.voices
    cell_split = split if options.hold_out != "speaker" else None
    rounds, position = divmod(index, len(options.content))
    content = options.content[position]
    earlier_rows = rounds * options.content.count(content) + options.content[:position].count(content)
    texts = _texts_by_content(options.content, options.max_words, cell_split, options.seed)[position]
    choice = balanced_index(options.seed, split, earlier_rows, len(texts) * len(speakers))
    text_index, speaker_index = divmod(choice, len(speakers))
    return Utterance(*texts[text_index], speakers[speaker_index])


def speakers_in_split(voices: tuple[str, ...], split: Split) -> tuple[str, ...]:
    """Return the voices of a split: test has the last one, validation the second to last, train all others."""
    return {"train": voices[:-2], "validation": voices[-2:-1], "test": voices[-1:]}[split]


@lru_cache
def _texts_by_content(
    contents: tuple[Content, ...], max_words: int | None, split: Split | None, seed: int
) -> tuple[tuple[tuple[VerbCell, str], ...], ...]:
    """Return the (cell, text) pairs of each content. With ``split``, only those whose cells belong to that split."""
    texts = [_texts(content) for content in contents]
    if max_words is not None:
        texts = [[(cell, text) for cell, text in pairs if len(text.split()) <= max_words] for pairs in texts]
    if split is not None:
        # Split the cells of all contents together, so that no cell is in test for one content and in train for another.
        cells = tuple(dict.fromkeys(cell for pairs in texts for cell, _ in pairs))
        split_cells, canonical = set(cells_in_split(seed, split, cells)), _canonical_cells(chain.from_iterable(texts))
        texts = [[(cell, text) for cell, text in pairs if canonical.get(cell, cell) in split_cells] for pairs in texts]
    return tuple(map(tuple, texts))


def _canonical_cells(texts: Iterable[tuple[VerbCell, str]]) -> dict[VerbCell, VerbCell]:
    """Map each cell that shares a text with an earlier cell of the same verb to that earlier cell.

    Both must be in the same split: *I put.* is present and past, and must not be in both train and test. Cells of
    different verbs are not merged (*I fell.* belongs to two verbs), to keep the splits that the built-in Whisper was
    trained on.
    """
    first: dict[tuple[str, str], VerbCell] = {}
    pairs = [(cell, first.setdefault((cell.lemma, text), cell)) for cell, text in texts]
    return {cell: other for cell, other in pairs if cell != other}


def _texts(content: Content) -> Sequence[tuple[VerbCell, str]]:
    match content:
        case "phrases":
            return [(cell, as_sentence(text)) for cell in CELLS for text in phrases(cell)]
        case "sentences":
            return [(cell, sentence.text) for cell in CELLS for sentence in sentences(cell)]
        case "outside phrases":
            return open_vocabulary_phrases()
        case "outside sentences":
            return open_vocabulary_sentences()


def _speech_request(utterance: Utterance) -> SpeechRequest:
    """Return the input of the voice. The past forms of *read* are spelled *red*, as the voice cannot know the tense."""
    is_red = utterance.cell.lemma == "read" and utterance.cell.tense in ("past", "participle")
    text = utterance.text.replace(" read", " red", 1) if is_red else utterance.text
    return SpeechRequest(utterance.speaker, text)
