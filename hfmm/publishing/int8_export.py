"""A run's model with int8 weights as a repository of its own: smaller, and its card says what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import ModelCardData

from hfmm.errors import UserError
from hfmm.evaluation import load_task
from hfmm.models import int8
from hfmm.probes import int8_weights
from hfmm.publishing import clean_room, contents, publication
from hfmm.publishing.card_metadata import derived
from hfmm.publishing.contents import Contents, readable, weights_size
from hfmm.publishing.measures import measures, score
from hfmm.publishing.verify import compare_printed, same
from hfmm.recipe import Recipe
from hfmm.run_directory import RunDirectory, atomic_directory
from hfmm.tasks import TaskProtocol, resolve

CARD = "README.md"

TEXT = """---
{metadata}
---

# {title}, int8 weights

[`{model}`](https://huggingface.co/{model}) with the weights of its linear layers rounded to int8, a scale for each
output channel, and all else in bf16. It is smaller, not faster than in bf16: a processor widens the weights again for
each product.

| | int8 weights | [the full model](https://huggingface.co/{model}) |
|---|---|---|
{rows}

Scores of the same test rows, in brackets 95 % bootstrap intervals. How they were made stands in the card of the full
model.

```bash
pip install transformers torchao
```

```python
{snippet}
```

```text
{printed}
```
"""


class Int8(NamedTuple):
    """A model with int8 weights in the run's folder, the repository it is for, and what a clean process says of it."""

    repo: str
    task: TaskProtocol
    snippet: str
    said: clean_room.Said


def write_int8(recipe: Recipe, run: RunDirectory, repo: str) -> Int8:
    """Write the run's model with int8 weights and an example beside the full one, and ask it in a clean process.

    Raises UserError where torchao is missing or the model does not survive it.
    """
    task, recorded = load_task(run.model, *resolve(recipe))[1], clean_room.stored(run)
    with atomic_directory(run.int8) as temporary:
        int8.save(str(run.model), temporary)
        example = task.write_example(task.from_stored(recorded[0]["input"]), temporary)
    snippet = task.snippet(recipe.name, example, recorded)
    job = {"model": str(run.int8.resolve())}
    local = {recipe.name: run.int8}
    with clean_room.opened(clean_room.offline()) as room:
        return Int8(repo, task, snippet, clean_room.ask(task, recorded, snippet, job, local, room))


def int8_contents(run: RunDirectory, made: Int8, card: ModelCardData, title: str, model: str, branch: str) -> Contents:
    """Return the files; ``model`` is the id of the full model's repository, and ``card`` that repository's."""
    sizes = (readable(weights_size(folder)) for folder in (run.int8, run.model))
    rows = [("file size of the weights", *sizes), *_scores(run.read_results()["records"])]
    text = TEXT.format(
        metadata=derived(card, "transformers", model, "quantized", pipeline_tag=card.pipeline_tag).to_yaml("\n"),
        title=title,
        model=model,
        rows="\n".join(f"| {' | '.join(row)} |" for row in rows),
        snippet=publication.snippet(made.snippet, made.repo, branch),
        printed=made.said.printed.strip(),
    )
    return contents.of_folder(run.int8) | {CARD: contents.of_source(CARD, text.encode())}


def verify_int8(run: RunDirectory, made: Int8, branch: str, home: Path) -> int:
    """Return how many predictions the repository, named by its id alone, repeats of those made before it was sent.

    Its snippet runs in the same process. Raises UserError naming the first difference.
    """
    repo, recorded = made.repo, clean_room.stored(run)
    job, snippet = clean_room.by_id(repo, branch), publication.snippet(made.snippet, repo, branch)
    with clean_room.opened(clean_room.asking_the_hub(home)) as room:
        said = clean_room.ask(made.task, recorded, snippet, job, {}, room)
    for row, wanted, output in zip(recorded, made.said.outputs, said.outputs, strict=True):
        if not same(wanted, output):
            raise UserError(
                f"The int8 weights were pushed, and {repo} is not the model that was made here: of row {row['id']} it "
                f"says {output}, where that said {wanted}."
            )
    compare_printed(repo, said.printed, made.said.printed)
    return len(recorded)


def _scores(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return, for each measure of the card, its name, its score with int8 weights and that of the full model."""
    rows = []
    for one in measures(records):
        rounded = one.get(int8_weights.CONDITION)
        rows.append((one["name"], score(rounded) if rounded else "not measured", score(one[""])))
    return rows
