"""The chat template of a fused model: the language model's own, which learns to read pictures, or one that is written.

Templates of language models take a message's content as one text, while a conversation with pictures has a list of
parts; what is put in front of them makes one of the other. It also keeps a model that can think aloud (Qwen 3, SmolLM
3) from doing so, because the answers that it is to learn have no thoughts before them.
"""

from __future__ import annotations

from typing import Any

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

# The turns of LLaVA 1.5 (Liu et al. 2023, arXiv:2310.03744), each on a line of its own.
TURNS = """\
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


def with_pictures(template: str, image_token: str) -> str:
    """Return the template for messages whose content is a text or a list of parts; a picture gets its own line."""
    return PARTS_TO_TEXT.replace("IMAGE", repr(f"{image_token}\n")) + template


def written(tokenizer: Any) -> str:
    """Return a template for a language model that has none, begun as the tokenizer begins a text."""
    begins = tokenizer.bos_token is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    return ("{{- bos_token -}}\n" if begins else "") + TURNS


def is_written(template: str) -> bool:
    """Tell whether a template is one that was written because the language model has none."""
    return template.endswith(TURNS)
