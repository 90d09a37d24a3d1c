"""Chat templates: make the template of a checkpoint deterministic and end each answer, or write a default one.

The template of a language model expects the content of a message as text, but a conversation with images has a list of
parts. For a fused model, a prefix of the template joins the parts into text. The prefix also disables the reasoning of
models such as Qwen 3 and SmolLM 3, because the answers of the training data have none.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from jinja2 import TemplateError

from hfmm.errors import UserError

FIXED_DATE = date(2024, 7, 26)  # the default of the Llama 3.2 template without a clock
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

# LLaVA 1.5 was trained with an EOS token after each answer, which its template on the Hub omits.
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

# The turns of LLaVA 1.5 (Liu et al. 2023, arXiv:2310.03744), each on its own line.
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
    """Return the template for messages whose content is text or a list of parts. Each image gets its own line."""
    return PARTS_TO_TEXT.replace("IMAGE", repr(f"{image_token}\n")) + template


def default_template(tokenizer: Any) -> str:
    """Return a template for a language model without one. It starts with a BOS token if the tokenizer adds one."""
    has_bos = tokenizer.bos_token is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    return ("{{- bos_token -}}\n" if has_bos else "") + LLAVA_TURNS


def is_default_template(template: str) -> bool:
    """Tell whether a template is one that `default_template` returned."""
    return template.endswith(LLAVA_TURNS)


def make_deterministic(processor: Any, key: str, name: str) -> list[str]:
    """Fix the date in the chat template of a processor or tokenizer, and make it end each answer with a special token.

    Does nothing without a chat template.

    Args:
        processor: The processor or the tokenizer.
        key: The recipe key of the checkpoint, for messages.
        name: The name of the checkpoint, for messages.

    Returns:
        A message for each change.

    Raises:
        UserError: Answers have no end, and the tokenizer has no EOS token.
    """
    template, changes = processor.chat_template, list[str]()
    template = template.get("default") if isinstance(template, dict) else template
    if not template:
        return changes
    dated = STRFTIME_NOW.sub(lambda call: f"{call[1]}{FIXED_DATE.strftime(call[2])}{call[1]}", template)
    if dated != template:
        processor.chat_template = dated
        changes.append(
            f"{key}: the chat template of {name} inserts the current date, so prompts and scores would change from day "
            f"to day. The date is fixed to {FIXED_DATE:%d %B %Y}."
        )
    if answer_end_tokens(processor) == []:
        eos_token = getattr(processor, "tokenizer", processor).eos_token
        if eos_token is None:
            raise UserError(
                f"{key}: the chat template of {name} does not end an answer with a special token, and its tokenizer "
                "has no EOS token, so generation would not stop. Choose another checkpoint."
            )
        processor.chat_template = APPEND_EOS + dated
        changes.append(
            f"{key}: the chat template of {name} does not end an answer with a special token, so the model would not "
            f"learn to stop. {eos_token} is added to each answer."
        )
    return changes


def answer_end_tokens(processor: Any) -> list[int] | None:
    """Return the special token with which a chat template ends an answer, in a list that is empty if there is none.

    Returns None without a template, or if the template does not accept a single question with its answer.
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
        _, answer, after = processor.apply_chat_template(chat, tokenize=False).rpartition(ANSWER)
    except TemplateError:
        return None
    first_token = tokenizer(after.strip(), add_special_tokens=False)["input_ids"][:1]
    return [token for token in first_token if token in tokenizer.added_tokens_decoder] if answer else None
