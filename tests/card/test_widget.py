from __future__ import annotations

from typing import Any, cast

import pytest
from PIL import Image

from hfmm.card.widget import widget_example
from hfmm.data.common.images import encode
from hfmm.tasks import BaseTask
from hfmm.tasks.common.inputs import ChatInput, TextInput
from hfmm.tasks.contrastive import ContrastiveTask
from hfmm.tasks.image_classification import ImageClassificationTask
from hfmm.tasks.image_text_to_text import ImageTextToTextTask
from hfmm.tasks.speech_recognition import SpeechRecognitionTask
from hfmm.tasks.text_generation import TextGenerationTask

URL = "https://huggingface.co/me/model/resolve/main"


def widget(task_class: type[Any], recorded: list[dict[str, Any]], example: str, printed: str) -> dict[str, Any] | None:
    """Return the widget example of a task that has no model."""
    return widget_example(cast(BaseTask, object.__new__(task_class)), recorded, example, printed, URL)


def captions(*texts: str) -> list[dict[str, Any]]:
    return [{"reference": {"text": text}, "text": [0.0]} for text in texts]


def test_candidate_labels_are_captions_of_the_recorded_rows() -> None:
    example = widget(
        ContrastiveTask, captions("a wren", "a robin", "a wren"), "example.png", "0.90 a wren\n0.10 a robin"
    )
    assert example == {
        "example_title": "Example of the test split",
        "src": f"{URL}/example.png",
        "candidate_labels": "a wren, a robin",
        "output": [{"label": "a wren", "score": 0.9}, {"label": "a robin", "score": 0.1}],
    }


def test_candidate_labels_with_a_comma_are_left_out() -> None:
    rows = captions("a wren, small", "a robin", "an owl")
    example = widget(ContrastiveTask, rows, "example.png", "0.90 an owl\n0.08 a wren, small\n0.02 a robin")
    assert example is not None and example["candidate_labels"] == "a robin, an owl"
    assert example["output"] == [{"label": "an owl", "score": 0.9}, {"label": "a robin", "score": 0.02}]


def test_output_is_left_out_if_the_best_label_has_a_comma() -> None:
    rows = captions("a wren, small", "a robin", "an owl")
    example = widget(ContrastiveTask, rows, "example.png", "0.98 a wren, small\n0.02 a robin")
    assert example is not None and "output" not in example


def test_widget_needs_two_candidate_labels() -> None:
    assert widget(ContrastiveTask, captions("a wren, small", "a robin"), "example.png", "0.98 a robin") is None


def test_classes_are_the_output_of_a_classifier(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageClassificationTask, "pipeline_kwargs", lambda self, recorded: {"top_k": 3})
    example = widget(ImageClassificationTask, [{}], "example.png", "0.70 tense: past\n0.30 tense: future")
    assert example is not None and "candidate_labels" not in example
    assert example["output"] == [{"label": "tense: past", "score": 0.7}, {"label": "tense: future", "score": 0.3}]


def test_transcript_is_the_output_of_a_speech_recognizer() -> None:
    example = widget(SpeechRecognitionTask, [{}], "example.wav", "He works.")
    assert example is not None and example["src"] == f"{URL}/example.wav"
    assert example["output"] == {"text": "He works."}


def test_text_conversation_is_given_as_messages() -> None:
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "She."}]
    stored = TextInput.to_bytes({"messages": messages})
    example = widget(TextGenerationTask, [{"input": stored}], "example.txt", "She.")
    assert example is not None and "src" not in example
    assert (example["messages"], example["output"]) == (messages[:1], {"text": "She."})


def test_images_of_a_conversation_are_urls_of_the_example_files() -> None:
    image = encode(Image.new("RGB", (8, 8), "red"))
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "Which is red?"}]
    stored = ChatInput.to_bytes({"messages": [{"role": "user", "content": content}], "images": [image, image]})
    example = widget(ImageTextToTextTask, [{"input": stored}], "example.png", "Both.")
    assert example is not None
    first, second, question = example["messages"][0]["content"]
    assert first == {"type": "image_url", "image_url": {"url": f"{URL}/example.png"}}
    assert second == {"type": "image_url", "image_url": {"url": f"{URL}/example-2.png"}}
    assert (question["type"], question["text"]) == ("text", "Which is red?")
