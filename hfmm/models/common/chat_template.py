"""Chat templates: a checkpoint's own, which is the same every day and ends each answer, or one that is written.

Templates of language models take a message's content as one text, while a conversation with pictures has a list of
parts; what is put in front of that of a fused model makes one of the other. It also keeps a model that can think aloud
(Qwen 3, SmolLM 3) from doing so, because the answers that it is to learn have no thoughts before them.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from jinja2 import TemplateError

from hfmm.errors import UserError

FIXED_DATE = date(2024, 7, 26)  # which the template of Llama 3.2 has for want of a clock
STRFTIME_NOW = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
ANSWER = "forty-two"

PARTS_TO_TEXT = """\
{%- set enable_thinking = false -%}
{%- set flat = namespace(messages=[]) -%}
{%- for message in messages -%}
    {%- if message.content is string or not message.content -%}
        {%- set flat.messages = flat.messages + [message] -%}
    {%- else -%}
        {%- set whole = namespace(text='') -%}
        {%- for part in message.content -%}
            {%- set whole.text = whole.text + (IMAGE if part.type == 'image' else part.text) -%}
        {%- endfor -%}
        {%- set flat.messages = flat.messages + [dict(message, content=whole.text)] -%}
    {%- endif -%}
{%- endfor -%}
{%- set messages = flat.messages -%}
"""

# LLaVA 1.5 learnt an end token after each answer, which its template on the Hub leaves out.
APPEND_EOS = """\
{%- set ended = namespace(messages=[]) -%}
{%- for message in messages -%}
    {%- if message.role != 'assistant' or not message.content -%}
        {%- set ended.messages = ended.messages + [message] -%}
    {%- elif message.content is string -%}
        {%- set ended.messages = ended.messages + [dict(message, content=message.content + eos_token)] -%}
    {%- else -%}
        {%- set last = message.content | last -%}
        {%- set parts = message.content[:-1] + [dict(last, text=last.text + eos_token)] -%}
        {%- set ended.messages = ended.messages + [dict(message, content=parts)] -%}
    {%- endif -%}
{%- endfor -%}
{%- set messages = ended.messages -%}
"""

# The turns of LLaVA 1.5 (Liu et al. 2023, arXiv:2310.03744), each on a line of its own.
LLAVA_TURNS = """\
{%- for message in messages -%}
    {%- if message.role == 'user' -%}
        {{ 'USER: ' + message.content + '\\n' }}
    {%- elif message.role == 'assistant' -%}
        {{ 'ASSISTANT: ' + message.content + eos_token + '\\n' }}
    {%- else -%}
        {{ message.content + '\\n' }}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ 'ASSISTANT:' }}
{%- endif -%}
"""


def add_image_support(template: str, image_token: str) -> str:
    """Return the template for messages whose content is a text or a list of parts; a picture gets its own line."""
    return PARTS_TO_TEXT.replace("IMAGE", repr(f"{image_token}\n")) + template


def default_template(tokenizer: Any) -> str:
    """Return a template for a language model that has none, begun as the tokenizer begins a text."""
    begins = tokenizer.bos_token is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    return ("{{- bos_token -}}\n" if begins else "") + LLAVA_TURNS


def is_default_template(template: str) -> bool:
    """Tell whether a template is one that was written because the language model has none."""
    return template.endswith(LLAVA_TURNS)


def make_deterministic(processor: Any, key: str, name: str) -> list[str]:
    """Let the chat template of a processor or tokenizer write one day's date for ever, and an end after each answer.

    Return what was changed, a sentence each: nothing where there is no template. ``name`` is the checkpoint's and
    ``key`` the recipe's for it. Raises UserError where there is no end token to write.
    """
    own, changes = processor.chat_template, list[str]()
    own = own.get("default") if isinstance(own, dict) else own
    if not own:
        return changes
    dated = STRFTIME_NOW.sub(lambda call: f"{call[1]}{FIXED_DATE.strftime(call[2])}{call[1]}", own)
    if dated != own:
        processor.chat_template = dated
        changes.append(
            f"{key}: the chat template of {name} writes the date of the day it is used, and a model that is asked "
            f"another question each day has no score to compare. {FIXED_DATE:%d %B %Y} is put in its place."
        )
    if answer_end_tokens(processor) == []:
        end = getattr(processor, "tokenizer", processor).eos_token
        if end is None:
            raise UserError(
                f"{key}: the chat template of {name} writes no end after an answer, and its tokenizer has no end "
                "token, so no answer would ever end. Choose another checkpoint."
            )
        processor.chat_template = APPEND_EOS + dated
        changes.append(
            f"{key}: the chat template of {name} writes no end after an answer, so that none would be learnt. "
            f"{end} is put there."
        )
    return changes


def answer_end_tokens(processor: Any) -> list[int] | None:
    """Return the token that a chat template writes after an answer to end it, alone in a list; an empty one for none.

    None where there is no template, or one that does not take a single question with its answer.
    """
    tokenizer = getattr(processor, "tokenizer", processor)
    chat: list[dict[str, Any]] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": ANSWER}]
    if tokenizer is not processor:
        for message in chat:
            message["content"] = [{"type": "text", "text": message["content"]}]
        chat[0]["content"].insert(0, {"type": "image"})
    if not processor.chat_template:
        return None
    try:
        _, found, after = processor.apply_chat_template(chat, tokenize=False).rpartition(ANSWER)
    except TemplateError:
        return None
    first = tokenizer(after.strip(), add_special_tokens=False)["input_ids"][:1]
    return [one for one in first if one in tokenizer.added_tokens_decoder] if found else None
