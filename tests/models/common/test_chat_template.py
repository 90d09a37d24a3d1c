from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

from hfmm.assets import CHECKPOINTS
from hfmm.errors import UserError
from hfmm.models.common.chat_template import LLAVA_TURNS, answer_end_tokens, make_deterministic

QUESTION = [{"role": "user", "content": "Who?"}]
TALK = [*QUESTION, {"role": "assistant", "content": "He."}, *QUESTION, {"role": "assistant", "content": "She."}]
CHAT = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + END }}{% endfor %}"
CHATML = CHAT.replace("END", "'<|im_end|>\n'")
WITHOUT_END = CHAT.replace("END", "' '")
# The templates of Llama 3.2 and SmolLM 3 start like these.
GUARDED = (
    "{%- if strftime_now is defined %}{%- set day = strftime_now(\"%d %b %Y\") %}{%- else %}{%- set day = 'once' %}"
    "{%- endif %}{{ day + '\n' }}"
)
PLAIN = "{%- set today = strftime_now( '%d %B %Y' ) -%}{{ today + '\n' }}"


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.add_tokens(["<|im_end|>"], special_tokens=True)
    return tokenizer


def render(tokenizer: Any, chat: list[dict[str, str]] = TALK) -> str:
    text: str = tokenizer.apply_chat_template(chat, tokenize=False)
    return text


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        (LLAVA_TURNS, "</s>"),
        (CHATML + "{{ eos_token }}", "<|im_end|>"),
        (WITHOUT_END, ""),
        (CHAT.replace("END", "' ###\n'"), ""),
        (None, None),
        ("{{ raise_exception('Never.') }}", None),
        ("{{ messages[0]['content'] + '</s>' }}", None),
    ],
)
def test_answer_end_token_is_the_special_token_after_the_answer(
    tokenizer: Any, template: str | None, end: str | None
) -> None:
    tokenizer.chat_template = template
    tokens = answer_end_tokens(tokenizer)
    assert tokens is None if end is None else tokens is not None and tokenizer.decode(tokens) == end


@pytest.mark.parametrize("template", [None, LLAVA_TURNS, CHATML, "{{ raise_exception('Never.') }}"])
def test_deterministic_template_is_not_changed(tokenizer: Any, template: str | None) -> None:
    tokenizer.chat_template = template
    assert make_deterministic(tokenizer, "model.checkpoint", "one") == []
    assert tokenizer.chat_template == template


def test_template_of_the_built_in_model_is_not_changed() -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(CHECKPOINTS / "tiny-llm")
    assert make_deterministic(tokenizer, "model.checkpoint", "tiny-llm") == []
    assert tokenizer.chat_template == (CHECKPOINTS / "tiny-llm/chat_template.jinja").read_text()
    assert answer_end_tokens(tokenizer) == [tokenizer.eos_token_id]


def test_eos_token_is_added_to_answers_only(tokenizer: Any) -> None:
    tokenizer.chat_template = WITHOUT_END
    (change,) = make_deterministic(tokenizer, "model.checkpoint", "one")
    assert change.startswith("model.checkpoint: the chat template of one does not end an answer")
    assert "</s> is added to each answer" in change
    assert render(tokenizer) == "user: Who? assistant: He.</s> user: Who? assistant: She.</s> "
    assert make_deterministic(tokenizer, "model.checkpoint", "one") == []


def test_default_of_several_templates_is_changed(tokenizer: Any) -> None:
    tokenizer.chat_template = {"default": WITHOUT_END, "tool_use": CHATML}
    assert make_deterministic(tokenizer, "model.checkpoint", "one")
    assert render(tokenizer).endswith("She.</s> ")


def test_template_without_end_raises_error_without_an_eos_token(tokenizer: Any) -> None:
    tokenizer.chat_template, tokenizer.eos_token = WITHOUT_END, None
    with pytest.raises(
        UserError, match=r"model\.language_model: the chat template of one does not end an answer .* no EOS token"
    ):
        make_deterministic(tokenizer, "model.language_model", "one")


@pytest.mark.parametrize(("prefix", "date"), [(GUARDED, "26 Jul 2024"), (PLAIN, "26 July 2024")])
def test_current_date_is_replaced_by_a_fixed_date(tokenizer: Any, prefix: str, date: str) -> None:
    tokenizer.chat_template = prefix + CHATML
    (change,) = make_deterministic(tokenizer, "model.checkpoint", "one")
    assert change.startswith("model.checkpoint: the chat template of one inserts the current date")
    assert render(tokenizer, QUESTION) == f"{date}\nuser: Who?<|im_end|>\n"
    assert make_deterministic(tokenizer, "model.checkpoint", "one") == []
