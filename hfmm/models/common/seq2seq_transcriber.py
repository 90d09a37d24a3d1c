"""Transcribe with Whisper: log-mel features of one window, and a decoder that writes the transcript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hfmm.data.common.audio import SAMPLE_RATE
from hfmm.errors import UserError
from hfmm.models.common.batch import IGNORE_INDEX, to_model_device, unwrap_model
from hfmm.models.common.transcriber import Transcriber

FEATURE_BATCH_SIZE = 16  # clips whose spectra fit into the CPU cache; with 256 at once each takes twice as long
MAX_TOKENS_PER_SECOND = 12  # twice as many as in fast speech; stops a decoder that repeats itself
N_PREFIX_TOKENS = 4  # special tokens before the text


class Seq2SeqTranscriber(Transcriber):
    """Computes log-mel features, token labels and the cross-entropy of a Whisper, and generates transcripts."""

    def __init__(self, config: Any, processor: Any) -> None:
        super().__init__(config, processor)
        self.window = self.extractor.n_samples
        self.max_label_tokens = max_label_tokens(config, processor)

    def check(self, num_samples: int, text: str) -> None:
        """Raise UserError for a clip longer than the window, or a transcript with too many tokens for it."""
        seconds, max_seconds = num_samples / SAMPLE_RATE, self.window / SAMPLE_RATE
        if seconds > max_seconds:
            raise UserError(
                f"the clip lasts {seconds:.1f} s, and the model reads {max_seconds:g} s at a time: cut it, or "
                "increase model.window_seconds"
            )
        count = len(self.label_ids(text))
        if count > self.max_label_tokens:
            raise UserError(
                f"the transcript {text[:40]!r} has {count} tokens, and a window of {max_seconds:g} s has "
                f"room for {self.max_label_tokens}: cut the clip and its transcript"
            )

    def inputs(self, clips: Sequence[np.ndarray]) -> dict[str, Any]:
        """Return ``input_features`` `(num_clips, num_mel_bins, num_frames)`, padded to the window."""
        import torch

        chunks = [list(clips[start : start + FEATURE_BATCH_SIZE]) for start in range(0, len(clips), FEATURE_BATCH_SIZE)]
        # The features must not depend on the dtype in which the model computes.
        with torch.autocast("cpu", enabled=False):
            outputs = [self.extractor(chunk, sampling_rate=SAMPLE_RATE, return_tensors="np") for chunk in chunks]
        return {"input_features": torch.from_numpy(np.concatenate([output["input_features"] for output in outputs]))}

    def spectra(self, inputs: Mapping[str, Any], clips: Sequence[np.ndarray]) -> list[tuple[np.ndarray, int]]:
        """Return the spectrogram of each clip, and how many of its frames belong to the clip."""
        hop, most = int(self.extractor.hop_length), int(self.extractor.nb_max_frames)
        return [
            (features.numpy(), min(1 + len(clip) // hop, most))
            for features, clip in zip(inputs["input_features"], clips, strict=True)
        ]

    def targets(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return ``decoder_input_ids`` and ``labels``, which are one token ahead, both `(batch_size, length)`."""
        import torch

        label_ids = [self.label_ids(text) for text in texts]
        shape = (len(texts), max(map(len, label_ids)) - 1)
        inputs, labels = torch.full(shape, self.config.pad_token_id), torch.full(shape, IGNORE_INDEX)
        for index, ids in enumerate(label_ids):
            inputs[index, : len(ids) - 1] = torch.tensor(ids[:-1])
            labels[index, : len(ids) - 1] = torch.tensor(ids[1:])
        return {"decoder_input_ids": inputs, "labels": labels}

    def loss(self, model: Any, batch: Mapping[str, Any], ctc_weight: float) -> Any:
        """Return the cross-entropy in nats, summed over the tokens of the batch, mixed with the CTC loss."""
        from torch.nn import functional

        inputs = {name: batch[name] for name in ("input_features", "decoder_input_ids")}
        output, labels = model(**inputs, use_cache=False), batch["labels"]
        logits = output.logits.flatten(0, 1).float()
        loss = functional.cross_entropy(logits, labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum")
        if ctc_weight:
            encoder_logits = unwrap_model(model).get_output_embeddings()(output.encoder_last_hidden_state)
            loss = (1 - ctc_weight) * loss + ctc_weight * ctc_loss(encoder_logits, labels, self.config.eos_token_id)
        return loss

    def decode_labels(self, labels: Any) -> str:
        """Return the transcript with the special tokens that the decoder learns."""
        return str(self.tokenizer.decode(labels))

    def pipeline_arguments(self) -> dict[str, Any]:
        """Return the window as the length of a chunk."""
        return {"chunk_length_s": self.window // SAMPLE_RATE}

    def transcribe_batch(self, model: Any, clips: Sequence[np.ndarray]) -> list[str]:
        """Return the transcripts of clips that fit into the window."""
        import torch

        with torch.inference_mode():
            ids = model.generate(**to_model_device(self.inputs(clips), model))
        texts: list[str] = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        return texts

    def label_ids(self, text: str) -> list[int]:
        """Return the tokens of a transcript, from the start token to the end token.

        The text starts with a space, as in the training data of Whisper.
        """
        ids: list[int] = self.tokenizer(f" {text.strip()}")["input_ids"]
        return ids if ids[0] == self.config.decoder_start_token_id else [self.config.decoder_start_token_id, *ids]


def max_label_tokens(config: Any, processor: Any) -> int:
    """Return the maximum number of tokens of a transcript, including special tokens.

    Nobody speaks more than this in one window.
    """
    seconds: int = processor.feature_extractor.chunk_length
    return min(N_PREFIX_TOKENS + MAX_TOKENS_PER_SECOND * seconds, int(config.max_target_positions))


def ctc_loss(logits: Any, labels: Any, blank: int) -> Any:
    """Return the CTC loss of the text tokens in ``labels``, in nats and summed over the rows.

    Args:
        logits: The logits of the frames, `(batch_size, num_frames, vocab_size)`.
        labels: The labels, `(batch_size, sequence_length)`. Only text tokens, which have ids below ``blank``, count.
        blank: The id of the blank token.
    """
    import torch
    from torch.nn import functional

    is_text = (labels >= 0) & (labels < blank)
    batch_size, num_frames, _ = logits.shape
    return functional.ctc_loss(
        logits.float().log_softmax(-1).transpose(0, 1),
        labels[is_text],
        torch.full((batch_size,), num_frames),
        is_text.sum(-1),
        blank=blank,
        reduction="sum",
        zero_infinity=True,  # for a text with more tokens than frames
    )
