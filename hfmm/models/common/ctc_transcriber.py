"""Transcribe with a CTC model: each frame of the encoder is a letter or a blank (Graves et al. 2006)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from hfmm.data.common.audio import SAMPLE_RATE
from hfmm.errors import UserError
from hfmm.models.common.audio_inputs import (
    check_clip_length,
    clip_lengths,
    extract_features,
    ignores_padding,
    num_frames,
    pad_features,
)
from hfmm.models.common.batch import IGNORE_INDEX, to_model_device
from hfmm.models.common.transcriber import Transcriber

MAX_SECONDS = 60  # attention over a longer clip takes too much memory


class CTCTranscriber(Transcriber):
    """Computes the features, the letter labels and the CTC loss of a model, and decodes its best path.

    Transcripts get the letter case of the vocabulary, and lose punctuation that it lacks.
    """

    has_decoder = False

    def __init__(self, config: Any, processor: Any) -> None:
        super().__init__(config, processor)
        self.min_samples, longest = clip_lengths(config, self.extractor)
        self.window = int(min(longest, MAX_SECONDS * SAMPLE_RATE))
        self.ignores_padding = ignores_padding(config)

    def check(self, num_samples: int, text: str) -> None:
        """Raise UserError for a clip that is too short or too long, or a transcript that it cannot have."""
        check_clip_length(num_samples, self.min_samples, self.window)
        ids, frames = self.label_ids(text), num_frames(self.config, self.extractor, num_samples)
        # A blank must separate two equal letters.
        needed_frames = len(ids) + sum(first == second for first, second in pairwise(ids))
        if needed_frames > frames:
            raise UserError(
                f"the transcript {text[:40]!r} needs {needed_frames} frames, and the clip of "
                f"{num_samples / SAMPLE_RATE:.1f} s has {frames}: check that the transcript belongs to the clip"
            )

    def inputs(self, clips: Sequence[np.ndarray]) -> dict[str, Any]:
        """Return the features of each clip, padded to the longest, and their mask where the model takes one."""
        return pad_features(self.extractor, [extract_features(self.extractor, clip) for clip in clips])

    def spectra(self, inputs: Mapping[str, Any], clips: Sequence[np.ndarray]) -> list[tuple[np.ndarray, int]]:
        """Return the spectrogram of each clip without its padding; nothing for a model of waveforms."""
        if "input_features" not in inputs:
            return []
        lengths = inputs["attention_mask"].sum(-1).tolist()
        return [
            (features[: int(length)].T.numpy(), int(length))
            for features, length in zip(inputs["input_features"], lengths, strict=True)
        ]

    def targets(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return ``labels`` `(batch_size, sequence_length)`."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        labels = [torch.tensor(self.label_ids(text)) for text in texts]
        return {"labels": pad_sequence(labels, batch_first=True, padding_value=IGNORE_INDEX)}

    def loss(self, model: Any, batch: Mapping[str, Any], ctc_weight: float) -> Any:
        """Return the CTC loss of the model, summed over the rows; its config asks for the sum."""
        return model(**batch).loss

    def decode_labels(self, labels: Any) -> str:
        """Return the transcript in the letters of the vocabulary."""
        return str(self.tokenizer.decode(labels, group_tokens=False))

    def pipeline_arguments(self) -> dict[str, Any]:
        """Return no arguments: the pipeline takes a clip as it is."""
        return {}

    def transcribe_batch(self, model: Any, clips: Sequence[np.ndarray]) -> list[str]:
        """Return the transcripts of the best paths. Frames of padding are left out."""
        import torch

        lengths = [num_frames(self.config, self.extractor, len(clip)) for clip in clips]
        with torch.inference_mode():
            logits = model(**to_model_device(self.inputs(clips), model)).logits
        return [
            str(self.tokenizer.decode(ids[:length]))
            for ids, length in zip(logits.argmax(-1).cpu(), lengths, strict=True)
        ]

    def label_ids(self, text: str) -> list[int]:
        """Return the tokens of a transcript, as far as the vocabulary allows; raises UserError where it does not."""
        for spelling in _spellings(" ".join(text.split())):
            ids: list[int] = self.tokenizer(spelling, add_special_tokens=False)["input_ids"]
            if ids and self.tokenizer.unk_token_id not in ids:
                return ids
        unknown = [letter for letter in dict.fromkeys(text) if not letter.isspace() and not self._has_letter(letter)]
        raise UserError(
            f"the vocabulary of the model cannot spell the transcript {text[:40]!r}: it lacks {' '.join(unknown)}. "
            "Spell it out, or set model.vocabulary to train a new one"
        )

    def _has_letter(self, letter: str) -> bool:
        unknown = self.tokenizer.unk_token_id
        return any(
            unknown not in self.tokenizer(case, add_special_tokens=False)["input_ids"]
            for case in (letter, letter.lower(), letter.upper())
        )


def _spellings(text: str) -> Iterator[str]:
    """Yield a text as it is, then in lower and upper case, then without punctuation except apostrophes, then bare."""
    without_marks = "".join(" " if _is_punctuation(letter) and letter != "'" else letter for letter in text)
    letters_only = "".join(letter for letter in without_marks if letter != "'")
    for variant in (text, " ".join(without_marks.split()), " ".join(letters_only.split())):
        yield from (variant, variant.lower(), variant.upper())


def _is_punctuation(letter: str) -> bool:
    return unicodedata.category(letter).startswith("P")
