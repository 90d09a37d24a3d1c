"""The model of a run with int8 weights as its own repository: smaller, and its card reports the loss in quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import ModelCardData

from hfmm.baselines import int8_weights
from hfmm.card import hub_text
from hfmm.card.metadata import derived_metadata
from hfmm.card.scores import format_score, score_rows
from hfmm.errors import UserError
from hfmm.evaluation.predict import SavedModel
from hfmm.hub.files import RepoFiles, files_in_folder, format_size, repo_file, weights_size
from hfmm.models.common import int8
from hfmm.plan import Plan
from hfmm.run_directory import RunDirectory
from hfmm.tasks import BaseTask
from hfmm.utils.files import atomic_directory
from hfmm.verify import process
from hfmm.verify.verify import compare_printed, predictions_match

CARD = "README.md"

TEXT = """---
{metadata}
---

# {title} (int8 weights)

This is [`{model}`](https://huggingface.co/{model}) with the weights of its linear layers quantized to int8, with one
scale per output channel. All other weights are in bf16. The model is smaller but not faster than in bf16, because the
int8 weights are converted back for every matrix multiplication.

| | int8 weights | [the full model](https://huggingface.co/{model}) |
|---|---|---|
{rows}

Both columns are scores on the same test rows, with 95 % bootstrap intervals in brackets. The card of the full model
describes the evaluation.

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
    """A model with int8 weights in the run directory, its repository, and its output in a new Python process."""

    repo: str
    task: BaseTask
    snippet: str
    output: process.ProcessOutput


def quantize_run(plan: Plan, run: RunDirectory, saved: SavedModel, repo: str) -> QuantizedModel:
    """Write the model with int8 weights and an example into the run directory, and run it in a new Python process.

    Raises UserError if torchao is missing or the quantized model does not load.
    """
    task, rows = saved.task, process.rows_with_inputs(saved.predictions)
    with atomic_directory(run.int8) as temporary:
        int8.save(str(run.model), temporary)
        example = task.input.write_example(task.input.from_bytes(rows[0]["input"]), temporary)
    snippet = task.usage_snippet(plan.recipe.name, example, rows)
    job = {"model": str(run.int8.resolve())}
    local_folders = {plan.recipe.name: run.int8}
    with process.fresh_python(process.offline_env()) as python:
        output = process.run_pipeline(task, rows, snippet, job, local_folders, python)
    return QuantizedModel(repo, task, snippet, output)


def int8_files(
    run: RunDirectory, quantized: QuantizedModel, card: ModelCardData, title: str, model: str, branch: str
) -> RepoFiles:
    """Return the files of the int8 repository.

    ``model`` is the id of the full model's repository and ``card`` is the metadata of its card.
    """
    sizes = (format_size(weights_size(folder)) for folder in (run.int8, run.model))
    rows = [("file size of the weights", *sizes), *_scores(run.read_results()["records"])]
    metadata = derived_metadata(card, "transformers", model, "quantized", pipeline_tag=card.pipeline_tag)
    text = TEXT.format(
        metadata=metadata.to_yaml("\n"),
        title=title,
        model=model,
        rows="\n".join(f"| {' | '.join(row)} |" for row in rows),
        snippet=hub_text.snippet_from_hub(quantized.snippet, quantized.repo, branch),
        printed=quantized.output.printed.strip(),
    )
    return files_in_folder(run.int8) | {CARD: repo_file(CARD, text.encode())}


def verify_int8(saved: SavedModel, quantized: QuantizedModel, branch: str, home: Path) -> int:
    """Return how many predictions the published repository, loaded by its id, reproduces.

    The snippet of its card is run in the same process. Raises UserError naming the first difference.
    """
    repo, rows = quantized.repo, process.rows_with_inputs(saved.predictions)
    job, snippet = process.job_for_repo(repo, branch), hub_text.snippet_from_hub(quantized.snippet, repo, branch)
    with process.fresh_python(process.online_env(home)) as python:
        published = process.run_pipeline(quantized.task, rows, snippet, job, {}, python)
    for row, expected, prediction in zip(rows, quantized.output.outputs, published.outputs, strict=True):
        if not predictions_match(expected, prediction):
            raise UserError(
                f"The int8 weights were pushed, but {repo} does not reproduce the local model: for row {row['id']} it "
                f"predicts {prediction}, the local model predicted {expected}."
            )
    compare_printed(repo, published.printed, quantized.output.printed)
    return len(rows)


def _scores(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Return for each score of the card its name, its value with int8 weights and its value with the full model."""
    rows = []
    for row in score_rows(records):
        record = row.get(int8_weights.NAME)
        rows.append((row["name"], format_score(record) if record else "not measured", format_score(row[""])))
    return rows
