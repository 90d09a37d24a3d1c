"""The Python API: what `import hfmm` offers, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset, DatasetDict

from hfmm import registry
from hfmm.data.common.cache import cache_folder
from hfmm.evaluation.evaluate import Records
from hfmm.evaluation.predict import load_saved_model, predict_files
from hfmm.evaluation.user_data import Split, evaluate_on_rows, load_user_rows
from hfmm.hub.publish import PublishOptions, publish
from hfmm.hub.pull import resolve_model_folder
from hfmm.hub.push import RepoTarget
from hfmm.recipe.load import load_recipe
from hfmm.recipe.schema import Recipe
from hfmm.recipe.validation import validate
from hfmm.run import open_run
from hfmm.run import run_recipe as run_recipe_to_directory
from hfmm.run_directory import RunDirectory, read_predictions
from hfmm.utils import imports
from hfmm.utils.progress import print_step
from hfmm.verify.verify import verify


class Run:
    """A finished run: its model, its scores, its predictions, its card and its plots.

    Args:
        output_dir: The folder of the run.

    Raises:
        UserError: The folder does not hold a run.
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.directory = RunDirectory.load(Path(output_dir))

    def __repr__(self) -> str:
        return f"Run({str(self.directory.root)!r})"

    @property
    def model_dir(self) -> Path:
        """The folder that plain `transformers.pipeline` loads, and that is published."""
        return self.directory.model

    @property
    def results(self) -> Records:
        """The scores: a record for each slice of each metric, which `pandas.DataFrame` takes."""
        records: Records = self.directory.read_results()["records"]
        return records

    def predictions(self) -> list[dict[str, Any]]:
        """Return the recorded prediction, the reference and the group of each test row."""
        return read_predictions(self.directory)

    def card(self) -> str:
        """Return the Markdown text of the model card."""
        return (self.model_dir / "README.md").read_text(encoding="utf-8")

    @property
    def plots(self) -> list[Path]:
        """The plots of the card as PNG files. In a notebook, `IPython.display.Image(path)` shows one."""
        return sorted(self.directory.plots.glob("*.png"))


def run_recipe(
    recipe: Recipe | str | Path,
    output_dir: str | Path | None = None,
    resume: bool = False,
    overrides: Sequence[str] = (),
) -> Run:
    """Run a recipe: build the data, train, evaluate, write the card and verify the model in a clean process.

    Args:
        recipe: A recipe, or the name or path of one.
        output_dir: The folder of the run; by default ``runs/`` and the name of the recipe.
        resume: Continue an interrupted run in this folder.
        overrides: Changes such as ``"data.train=100"``, for a recipe that is given by name or path.

    Returns:
        The finished run.

    Raises:
        UserError: Something in the recipe, the data or the checkpoint that you can fix. Finished stages are kept.
        KeyboardInterrupt: You interrupted the run. Call it again with ``resume=True``.

    Example:
        >>> run = hfmm.run_recipe("vit_icons", "runs/demo", overrides=["data.train=100"])  # doctest: +SKIP
        >>> run.results[0]["metric"]  # doctest: +SKIP
        'accuracy'
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(str(recipe), overrides)
    output_dir = Path(output_dir) if output_dir is not None else Path("runs") / recipe.name
    return Run(run_recipe_to_directory(recipe, output_dir, resume, print_step).root)


def load_dataset(builder: str, cache_dir: str | Path | None = None, num_proc: int = 1, **options: Any) -> DatasetDict:
    """Build a dataset as a recipe does, with images and audio decoded.

    Args:
        builder: The name of a dataset (see `hfmm list`), ``folder`` for your own data, or a dotted path.
        cache_dir: Where the splits are built; by default in the cache of the Hugging Face libraries.
        num_proc: How many processes draw the rows. The result is the same.
        options: The options of the builder, such as ``path`` and ``columns`` of ``folder``.

    Returns:
        The splits ``train``, ``validation`` and ``test``.

    Raises:
        UserError: The builder does not exist or does not take an option, or the data cannot be read.

    Example:
        >>> import hfmm
        >>> data = hfmm.load_dataset("text_questions", train=4, validation=2, test=2)
        >>> {split: len(rows) for split, rows in data.items()}
        {'train': 4, 'validation': 2, 'test': 2}
    """
    module = registry.get("data", builder, "builder")
    checked = validate(module.OPTIONS, options, {})
    cache = Path(cache_dir) if cache_dir is not None else cache_folder("datasets")
    splits: DatasetDict = module.build(checked, cache, num_proc)
    return splits


def predict(
    model: str | Path | Run,
    inputs: str | Path | Sequence[str | Path],
    texts: Sequence[str] = (),
    precision: Literal["auto", "bf16", "fp32"] = "auto",
) -> list[dict[str, Any]]:
    """Predict files with a saved model.

    Args:
        model: A run, a folder, a Hub id, or ``builtin:<name>``.
        inputs: The files: images, recordings or texts, as the model takes them.
        texts: Labels to choose from, or questions, for a model that takes texts beside a file.
        precision: ``auto`` computes in bf16 where the hardware is fast at it.

    Returns:
        A dict for each file, or for each question about it.

    Raises:
        UserError: The model or a file could not be loaded, or texts are missing or not used.

    Example:
        >>> import hfmm
        >>> from hfmm.assets import CHECKPOINTS
        >>> prediction, = hfmm.predict("builtin:tiny-whisper", CHECKPOINTS / "tiny-whisper" / "example.wav")
        >>> sorted(prediction)
        ['file', 'text']
    """
    paths = [inputs] if isinstance(inputs, str | Path) else inputs
    return predict_files(resolve_model(model), list(map(str, paths)), texts, precision)


def evaluate(
    model: str | Path | Run,
    data: str | Path | Dataset,
    metrics: Sequence[str] = (),
    columns: Mapping[str, str | list[str]] | None = None,
    split: Split = "auto",
    skip_invalid_rows: bool = False,
) -> Records:
    """Score a saved model on your own rows.

    Args:
        model: A run, a folder, a Hub id, or ``builtin:<name>``, of a kind that hfmm trains.
        data: A folder of images or recordings, a Parquet file, a Hub dataset id, or a dataset with the columns of hfmm.
        metrics: The metrics; by default those of the task.
        columns: The column names of hfmm and yours: ``{"label": "species"}``.
        split: ``auto`` scores the test split of the data if it has one, otherwise all rows.
        skip_invalid_rows: Leave out rows that cannot be used, instead of raising.

    Returns:
        A record for each slice of each metric, with its 95 % interval.

    Raises:
        UserError: The model or the data could not be loaded, or they do not fit.

    Example:
        >>> records = hfmm.evaluate("runs/demo", "./photos")  # doctest: +SKIP
    """
    imports.silence_libraries()
    if not isinstance(data, Dataset):
        data = load_user_rows(str(data), columns or {}, split)
    records, _ = evaluate_on_rows(resolve_model(model), data, metrics, skip_invalid_rows)
    return records


def verify_run(run: str | Path | Run) -> int:
    """Verify that the saved model gives the recorded predictions in plain `transformers.pipeline`, in a clean process.

    Args:
        run: A run, or its folder.

    Returns:
        How many predictions were reproduced.

    Raises:
        UserError: The first difference.
    """
    plan, directory = open_run(_run_directory(run))
    return verify(plan, directory, load_saved_model(plan, directory))


def publish_run(
    run: str | Path | Run,
    repo_id: str,
    private: bool = False,
    revision: str = "main",
    adapter_repo: str | None = None,
    int8_repo: str | None = None,
    license: str | None = None,
    dry_run: bool = False,
) -> None:
    """Publish a run: verify it, push it in one commit, download it by its id and verify it again.

    Args:
        run: A run, or its folder.
        repo_id: The repository, ``owner/name``. It is created if it does not exist.
        private: Make a private repository.
        revision: The branch.
        adapter_repo: A repository for the LoRA adapter alone.
        int8_repo: A repository for the model with int8 weights.
        license: A license identifier; by default that of the base model.
        dry_run: Show what would be sent, and send nothing.

    Raises:
        UserError: The verification failed, or the Hub refused the upload. The message says what the Hub holds now.
    """
    plan, directory = open_run(_run_directory(run))
    target = RepoTarget(repo_id, "model", private, revision)
    options = PublishOptions(adapter_repo, int8_repo, license)
    publish(plan, directory, target, options, lambda: not dry_run, print_step)


def resolve_model(model: str | Path | Run) -> Path:
    """Return the folder of a model: that of a run, a local folder, a built-in checkpoint or a copy from the Hub."""
    imports.silence_libraries()
    if isinstance(model, Run):
        return model.model_dir
    model_folder = resolve_model_folder(str(model))
    is_run = (model_folder / "recipe.yaml").is_file() and (model_folder / "model" / "config.json").is_file()
    return model_folder / "model" if is_run else model_folder


def _run_directory(run: str | Path | Run) -> Path:
    return run.directory.root if isinstance(run, Run) else Path(run)
