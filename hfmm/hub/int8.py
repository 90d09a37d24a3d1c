"""A run's model with int8 weights as a repository of its own: smaller, and its card says what that costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import ModelCardData

from hfmm.baselines import int8_weights
from hfmm.card import hub_text
from hfmm.card.metadata import derived_metadata
from hfmm.card.scores import format_score, score_rows
from hfmm.errors import UserError
from hfmm.evaluation.predict import load_model_and_task
from hfmm.hub.files import RepoFiles, files_in_folder, format_size, repo_file, weights_size
from hfmm.models.common import int8
from hfmm.recipe.schema import Recipe
from hfmm.run_directory import RunDirectory
from hfmm.tasks import BaseTask, resolve
from hfmm.utils.files import atomic_directory
from hfmm.verify import process
from hfmm.verify.verify import compare_printed, predictions_match

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


class QuantizedModel(NamedTuple):
    """A model with int8 weights in the run's folder, the repository it is for, and what a clean process says of it."""

    repo: str
    task: BaseTask
    snippet: str
    said: process.ProcessOutput


def quantize_run(recipe: Recipe, run: RunDirectory, repo: str) -> QuantizedModel:
    """Write the run's model with int8 weights and an example beside the full one, and ask it in a clean process.

    Raises UserError where torchao is missing or the model does not survive it.
    """
    task, recorded = load_model_and_task(run.model, *resolve(recipe))[1], process.rows_with_inputs(run)
    with atomic_directory(run.int8) as temporary:
        int8.save(str(run.model), temporary)
        example = task.write_example(task.input_from_bytes(recorded[0]["input"]), temporary)
    snippet = task.usage_snippet(recipe.name, example, recorded)
    job = {"model": str(run.int8.resolve())}
    local = {recipe.name: run.int8}
    with process.fresh_python(process.offline_env()) as room:
        return QuantizedModel(repo, task, snippet, process.run_pipeline(task, recorded, snippet, job, local, room))


def int8_contents(
    run: RunDirectory, made: QuantizedModel, card: ModelCardData, title: str, model: str, branch: str
) -> RepoFiles:
    """Return the files; ``model`` is the id of the full model's repository, and ``card`` that repository's."""
    sizes = (format_size(weights_size(folder)) for folder in (run.int8, run.model))
    rows = [("file size of the weights", *sizes), *_scores(run.read_results()["records"])]
    text = TEXT.format(
        metadata=derived_metadata(card, "transformers", model, "quantized", pipeline_tag=card.pipeline_tag).to_yaml(
            "\n"
        ),
        title=title,
        model=model,
        rows="\n".join(f"| {' | '.join(row)} |" for row in rows),
        snippet=hub_text.snippet_from_hub(made.snippet, made.repo, branch),
        printed=made.said.printed.strip(),
    )
    return files_in_folder(run.int8) | {CARD: repo_file(CARD, text.encode())}


def verify_int8(run: RunDirectory, made: QuantizedModel, branch: str, home: Path) -> int:
    """Return how many predictions the repository, named by its id alone, repeats of those made before it was sent.

    Its snippet runs in the same process. Raises UserError naming the first difference.
    """
    repo, recorded = made.repo, process.rows_with_inputs(run)
    job, snippet = process.job_for_repo(repo, branch), hub_text.snippet_from_hub(made.snippet, repo, branch)
    with process.fresh_python(process.online_env(home)) as room:
        said = process.run_pipeline(made.task, recorded, snippet, job, {}, room)
    for row, wanted, output in zip(recorded, made.said.outputs, said.outputs, strict=True):
        if not predictions_match(wanted, output):
            raise UserError(
                f"The int8 weights were pushed, and {repo} is not the model that was made here: of row {row['id']} it "
                f"says {output}, where that said {wanted}."
            )
    compare_printed(repo, said.printed, made.said.printed)
    return len(recorded)


def _scores(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return, for each measure of the card, its name, its score with int8 weights and that of the full model."""
    rows = []
    for one in score_rows(records):
        rounded = one.get(int8_weights.NAME)
        rows.append((one["name"], format_score(rounded) if rounded else "not measured", format_score(one[""])))
    return rows
