"""Spoken English: phrases and sentences of the verb universe, or sentences outside it, in several voices."""

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
    "English verb forms, spoken by synthetic voices: 16 kHz, mono. `text` is the transcript, with a capital letter "
    "and a full stop (`He works.`, `For him to work.`, `He has worked.`); `group` is lemma/tense/person of its verb. "
    "The past forms of *read* are pronounced *red*."
)

Content = Literal["phrases", "sentences", "outside phrases", "outside sentences"]


class SpeechOptions(StrictModel):
    """What `data: {builder: speech}` takes."""

    content: tuple[Content, ...] = Field(
        ("phrases",),
        min_length=1,
        description="pronoun and verb form, or sentences, of the 20 verbs or of others; several by turns, one that is "
        "named twice twice as often",
    )
    max_words: int | None = Field(None, ge=2, description="leave longer texts out; by default none")
    voices: tuple[str, ...] = Field(("heart",), min_length=1, description=f"among {', '.join(VOICES)}")
    hold_out: Literal["speaker", "cell", "both"] = Field(
        "cell", description="speaker: the last voice speaks the test split alone, the last but one validation"
    )
    train: int = Field(1000, ge=1)
    validation: int = Field(150, ge=1)
    test: int = Field(300, ge=1)
    augment: bool = Field(False, description="speed, pitch, room, noise, telephone and level of every clip at random")
    codec: Literal["flac", "opus"] = Field("flac", description="opus: a tenth of the bytes, some of the sound lost")
    seed: int = Field(0, ge=0)

    @field_validator("content", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("voices")
    @classmethod
    def _voices_are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in VOICES]
        if unknown or len(set(value)) < len(value):
            raise ValueError(f"each voice once, among {', '.join(VOICES)}")
        return value

    @model_validator(mode="after")
    def _enough_voices_to_hold_out(self) -> SpeechOptions:
        if self.hold_out != "cell" and len(self.voices) < 3:
            raise ValueError(f"hold_out: {self.hold_out} needs three voices or more, these are {len(self.voices)}")
        return self


class Utterance(NamedTuple):
    """A text, the cell of its verb, and who says it."""

    cell: VerbCell
    text: str
    speaker: str


OPTIONS = SpeechOptions


def build(options: SpeechOptions, cache: Path, num_proc: int = 1) -> DatasetDict:
    """Speak the three splits; a row depends on the options, its split and its index, and on nothing else.

    Raises UserError for a voice that is not installed. What was said once is kept and not said again.
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
        one = _utterance_for_row(options, split, index)
        audio: dict[str, Any] = {"bytes": load_or_synthesize(_speech_request(one)), "path": None}
        if options.augment:
            rng = np.random.default_rng([options.seed, SPLITS.index(split), 2, index])
            audio = encode(augment(decode(audio), rng), options.codec)
        elif options.codec != "flac":
            audio = encode(decode(audio), options.codec)
        yield {
            "id": f"{split}-{index:06d}",
            "audio": audio,
            **one.cell._asdict(),
            "text": one.text,
            "group": "/".join(one.cell),
            "speaker": one.speaker,
        }


def _utterance_for_row(options: SpeechOptions, split: Split, index: int) -> Utterance:
    """Return what a row says: the contents come by turns, and of each everything that the split can say."""
    speakers = speakers_in_split(options.voices, split) if options.hold_out != "cell" else options.voices
    held = split if options.hold_out != "speaker" else None
    rounds, place = divmod(index, len(options.content))
    content = options.content[place]
    before = rounds * options.content.count(content) + options.content[:place].count(content)
    said = _texts_by_content(options.content, options.max_words, held, options.seed)[place]
    number, speaker = divmod(balanced_index(options.seed, split, before, len(said) * len(speakers)), len(speakers))
    return Utterance(*said[number], speakers[speaker])


def speakers_in_split(voices: tuple[str, ...], split: Split) -> tuple[str, ...]:
    """Return the voices that a split has to itself: the last tests, the last but one validates."""
    return {"train": voices[:-2], "validation": voices[-2:-1], "test": voices[-1:]}[split]


@lru_cache
def _texts_by_content(
    contents: tuple[Content, ...], max_words: int | None, split: Split | None, seed: int
) -> tuple[tuple[tuple[VerbCell, str], ...], ...]:
    """Return the texts of each kind with their cells, of the cells of one split or of all."""
    said = [_texts(content) for content in contents]
    if max_words is not None:
        said = [[(cell, text) for cell, text in one if len(text.split()) <= max_words] for one in said]
    if split is not None:
        # Of all contents together: a cell that one of them tests may not be trained by another.
        cells = tuple(dict.fromkeys(cell for one in said for cell, _ in one))
        held, homes = set(cells_in_split(seed, split, cells)), _canonical_cells(chain.from_iterable(said))
        said = [[(cell, text) for cell, text in one if homes.get(cell, cell) in held] for one in said]
    return tuple(map(tuple, said))


def _canonical_cells(said: Iterable[tuple[VerbCell, str]]) -> dict[VerbCell, VerbCell]:
    """Return the cell with whose split another goes: *I put.* is present and past, and may not train and test.

    Only cells of one verb: *I fell.* is of two, and stays where it was when the embedded Whisper was trained.
    """
    first: dict[tuple[str, str], VerbCell] = {}
    pairs = [(cell, first.setdefault((cell.lemma, text), cell)) for cell, text in said]
    return {cell: other for cell, other in pairs if cell != other}


def _texts(content: Content) -> Sequence[tuple[VerbCell, str]]:
    match content:
        case "phrases":
            return [(cell, as_sentence(text)) for cell in CELLS for text in phrases(cell)]
        case "sentences":
            return [(cell, one.text) for cell in CELLS for one in sentences(cell)]
        case "outside phrases":
            return open_vocabulary_phrases()
        case "outside sentences":
            return open_vocabulary_sentences()


def _speech_request(one: Utterance) -> SpeechRequest:
    """Return what the voice is given to read: it cannot know the tense of a written *read*."""
    red = one.cell.lemma == "read" and one.cell.tense in ("past", "participle")
    return SpeechRequest(one.speaker, one.text.replace(" read", " red", 1) if red else one.text)
