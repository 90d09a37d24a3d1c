from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers

from hfmm.assets import CHECKPOINTS
from hfmm.errors import UserError
from hfmm.models.common.chat_template import LLAVA_TURNS, answer_end_tokens, make_deterministic

ASKED = [{"role": "user", "content": "Who?"}]
TALK = [*ASKED, {"role": "assistant", "content": "He."}, *ASKED, {"role": "assistant", "content": "She."}]
CHAT = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + END }}{% endfor %}"
CHATML = CHAT.replace("END", "'<|im_end|>\n'")
ENDLESS = CHAT.replace("END", "' '")
# As Llama 3.2 and SmolLM 3 begin.
GUARDED = (
    "{%- if strftime_now is defined %}{%- set day = strftime_now(\"%d %b %Y\") %}{%- else %}{%- set day = 'once' %}"
    "{%- endif %}{{ day + '\n' }}"
)
PLAIN = "{%- set today = strftime_now( '%d %B %Y' ) -%}{{ today + '\n' }}"


@pytest.fixture
def tokenizer(tiny_llama: Path) -> Any:
    own = transformers.AutoTokenizer.from_pretrained(tiny_llama)
    own.add_tokens(["<|im_end|>"], special_tokens=True)
    return own


def text(tokenizer: Any, chat: list[dict[str, str]] = TALK) -> str:
    written: str = tokenizer.apply_chat_template(chat, tokenize=False)
    return written


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"),
        (LLAVA_TURNS, "</s>"),
        (CHATML + "{{ eos_token }}", "<|im_end|>"),
        (ENDLESS, ""),
        (CHAT.replace("END", "' ###\n'"), ""),
        (None, None),
        ("{{ raise_exception('Never.') }}", None),
        ("{{ messages[0]['content'] + '</s>' }}", None),
    ],
)
def test_an_answer_ends_with_the_first_token_after_it_unless_that_is_one_of_ordinary_text(
    tokenizer: Any, template: str | None, end: str | None
) -> None:
    tokenizer.chat_template = template
    found = answer_end_tokens(tokenizer)
    assert found is None if end is None else found is not None and tokenizer.decode(found) == end


@pytest.mark.parametrize("template", [None, LLAVA_TURNS, CHATML, "{{ raise_exception('Never.') }}"])
def test_a_template_that_ends_its_answers_and_knows_no_date_stays_as_it_is(
    tokenizer: Any, template: str | None
) -> None:
    tokenizer.chat_template = template
    assert make_deterministic(tokenizer, "model.checkpoint", "one") == []
    assert tokenizer.chat_template == template


def test_the_embedded_language_model_is_left_as_it_is() -> None:
    own = transformers.AutoTokenizer.from_pretrained(CHECKPOINTS / "tiny-llm")
    assert make_deterministic(own, "model.checkpoint", "tiny-llm") == []
    assert own.chat_template == (CHECKPOINTS / "tiny-llm/chat_template.jinja").read_text()
    assert answer_end_tokens(own) == [own.eos_token_id]


def test_answers_that_a_template_does_not_end_get_the_end_token_and_nothing_else_does(tokenizer: Any) -> None:
    tokenizer.chat_template = ENDLESS
    (change,) = make_deterministic(tokenizer, "model.checkpoint", "one")
    assert (
        change.startswith("model.checkpoint: the chat template of one writes no end") and "</s> is put there" in change
    )
    assert text(tokenizer) == "user: Who? assistant: He.</s> user: Who? assistant: She.</s> "
    assert make_deterministic(tokenizer, "model.checkpoint", "one") == []


def test_a_template_that_is_one_of_several_is_changed_too(tokenizer: Any) -> None:
    tokenizer.chat_template = {"default": ENDLESS, "tool_use": CHATML}
    assert make_deterministic(tokenizer, "model.checkpoint", "one")
    assert text(tokenizer).endswith("She.</s> ")


def test_a_template_without_an_end_is_refused_where_there_is_no_end_token(tokenizer: Any) -> None:
    tokenizer.chat_template, tokenizer.eos_token = ENDLESS, None
    with pytest.raises(
        UserError, match=r"model\.language_model: the chat template of one writes no end .* no end token"
    ):
        make_deterministic(tokenizer, "model.language_model", "one")


@pytest.mark.parametrize(("head", "day"), [(GUARDED, "26 Jul 2024"), (PLAIN, "26 July 2024")])
def test_a_template_that_writes_todays_date_writes_the_same_every_day(tokenizer: Any, head: str, day: str) -> None:
    tokenizer.chat_template = head + CHATML
    (change,) = make_deterministic(tokenizer, "model.checkpoint", "one")
    assert change.startswith("model.checkpoint: the chat template of one writes the date of the day")
    assert text(tokenizer, ASKED) == f"{day}\nuser: Who?<|im_end|>\n"
    assert make_deterministic(tokenizer, "model.checkpoint", "one") == []
