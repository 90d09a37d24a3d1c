"""The `hfmm` command. Each subcommand is a few lines that call the package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from hfmm.cli import evaluate, publish
from hfmm.cli.console import confirm_upload
from hfmm.cli.exit import run_and_exit
from hfmm.cli.inspect import app as inspect_app
from hfmm.errors import UserError
from hfmm.utils import imports
from hfmm.utils.distributed import is_main_process
from hfmm.utils.progress import print_step

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Train a multimodal model from one recipe, then evaluate, document, verify and publish it.",
)
app.add_typer(inspect_app, name="inspect")
app.command("evaluate")(evaluate.evaluate_command)
app.command("publish")(publish.publish_command)
app.command("reproduce")(publish.reproduce_command)

RecipeName = Annotated[str, typer.Argument(help="Name of a recipe (see `hfmm list`) or path of a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a value, for example data.seed=1. Can be repeated.", metavar="KEY=VALUE"),
]
RunFolder = Annotated[Path, typer.Argument(help="The run directory that `hfmm run` wrote.")]


REGISTRY_LABELS = {"data": "datasets", "models": "model families"}  # in the output of `hfmm list`


@app.command("run")
def run_command(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="The run directory; by default runs/<recipe name>.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
) -> None:
    """Build the data, train, evaluate the saved model, write its card and verify it in a clean process."""
    from hfmm.recipe.load import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    from hfmm.plan import resolve_task
    from hfmm.run import run_recipe

    folder = out or Path("runs") / loaded.name
    run_recipe(loaded, folder, resume, print_step)
    if not is_main_process():
        return
    task = resolve_task(loaded)[0]
    texts = "".join(f' --text "{text}"' for text in task.example_prompts)
    typer.echo(
        f"\ncard      {folder}/model/README.md\n"
        f"predict   hfmm predict {folder}/model {next((folder / 'model').glob('example.*'))}{texts}\n"
        f'load      transformers.pipeline("{task.pipeline_tag}", model="{folder}/model")'
    )


@app.command("list")
def list_command() -> None:
    """List the recipes, and the checkpoints, datasets, tasks, metrics and baselines that a recipe can use."""
    from hfmm import registry
    from hfmm.assets import builtin_checkpoints
    from hfmm.recipe.load import list_recipes, load_recipe

    typer.echo("recipes")
    for name in list_recipes():
        loaded = load_recipe(name)
        typer.echo(f"  {name:<28} {loaded.task.name} on {loaded.data.builder}, starts from {loaded.model.checkpoint}")
    typer.echo(f"{'checkpoints':<15} {', '.join(f'builtin:{name}' for name in builtin_checkpoints())}")
    for kind in registry.REQUIRED_NAMES:
        typer.echo(f"{REGISTRY_LABELS.get(kind, kind):<15} {', '.join(registry.available(kind))}")


@app.command("show")
def show_command(
    recipe: RecipeName,
    overrides: Overrides = None,
    data: Annotated[
        str | None, typer.Option(help="Your own data: a folder, a Parquet file or a Hub dataset id.")
    ] = None,
    columns: evaluate.Columns = None,
) -> None:
    """Print a recipe with all defaults and a comment for each key, as a start for your own recipe."""
    from hfmm.recipe.annotate import to_annotated_yaml
    from hfmm.recipe.load import load_recipe

    if columns and data is None:
        raise UserError("--column needs --data: it maps the columns of your own data.")
    column_mapping = evaluate.parse_columns(columns or ())
    data_overrides = [] if data is None else _overrides_for_user_data(load_recipe(recipe).metrics, data, column_mapping)
    typer.echo(to_annotated_yaml(load_recipe(recipe, [*data_overrides, *(overrides or ())])), nl=False)


def _overrides_for_user_data(metrics: Sequence[str], data: str, columns: dict[str, str]) -> list[str]:
    """Return overrides that set the user's data and remove what is specific to the recipe's own dataset."""
    from hfmm import registry

    # A metric with reference columns reads columns that only the datasets of hfmm have.
    general_metrics = [name for name in metrics if not hasattr(registry.get("metrics", name), "REFERENCE_COLUMNS")]
    changes = {
        "data.builder": "folder",
        "data.path": data,
        "data.columns": columns,
        "name": "my-model",
        "metrics": general_metrics,
        "baselines": [],
        "forgetting": [],
        "publish.title": None,
    }
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in changes.items()]


@app.command("data")
def data_command(
    builder: Annotated[str, typer.Argument(help="Name of a dataset (see `hfmm list`).")],
    out: Annotated[Path, typer.Option(help="The output folder.")],
    overrides: Overrides = None,
    processes: Annotated[int | None, typer.Option(help="Number of processes. The rows do not depend on it.")] = None,
    push: Annotated[
        str | None, typer.Option(help="Also push it to this dataset repository on the Hub, owner/name.")
    ] = None,
    private: publish.Private = False,
    dry_run: publish.DryRun = False,
    yes: publish.Yes = False,
) -> None:
    """Build a dataset as Parquet files with a dataset card and a contact sheet, and optionally push it to the Hub."""
    from hfmm.hub.dataset import build_and_save
    from hfmm.utils.hardware import available_cpus

    if builder == "folder" and not any(override.startswith("path=") for override in overrides or ()):
        raise UserError("hfmm data folder needs the path of your data: --set path=<your folder>.")
    imports.silence_libraries()
    target = publish.parse_repo_id(push, "dataset", private) if push else None
    build_and_save(builder, overrides or (), out, processes or available_cpus(), push)
    typer.echo(f'samples   {out}/contact_sheet.png\nload      datasets.load_dataset("{push or out}")')
    if target is not None:
        from hfmm.hub.publish import folder_upload, publish_upload

        publish_upload(folder_upload(target, out), out, confirm_upload(dry_run, yes), print_step)


@app.command("card")
def card_command(
    run: RunFolder,
    to: Annotated[
        Path | None, typer.Option(help="Also copy the card to this folder, for example model_cards/.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing, but fail if the card does not match the run.")
    ] = False,
) -> None:
    """Write the card of a run and its plots again."""
    from hfmm.card.model_card import check_card_is_current, copy_card, write_card
    from hfmm.evaluation.predict import load_saved_model
    from hfmm.run import open_run

    plan, run_directory = open_run(run)
    saved = load_saved_model(plan, run_directory)
    if check:
        for path in check_card_is_current(plan, run_directory, saved, to):
            print_step("card", f"{path} agrees with the record of the run")
        return
    print_step("card", str(write_card(plan, run_directory, saved)))
    if to is not None:
        print_step("copy", str(copy_card(run_directory, plan.recipe.name, to)))


@app.command("verify")
def verify_command(run: RunFolder) -> None:
    """Check in a clean process that the saved model reproduces its recorded predictions and the snippet of its card."""
    from hfmm.evaluation.predict import load_saved_model
    from hfmm.run import open_run
    from hfmm.verify.verify import VERIFIED, verify

    plan, run_directory = open_run(run)
    saved = load_saved_model(plan, run_directory)
    print_step("verify", VERIFIED.format(verify(plan, run_directory, saved)))


@app.command("predict")
def predict_command(
    model: Annotated[
        str, typer.Argument(help="A model folder such as runs/<name>/model, a Hub id, or builtin:<name>.")
    ],
    inputs: Annotated[list[str], typer.Argument(help="The files to predict.")],
    texts: Annotated[
        list[str] | None,
        typer.Option("--text", help="For models with text input: a candidate text, or a question. Can be repeated."),
    ] = None,
    precision: Annotated[
        Literal["auto", "bf16", "fp32"], typer.Option(help="auto: bf16 if the hardware is fast at it.")
    ] = "auto",
) -> None:
    """Print the prediction for each input file, or for each question about a file, as one line of JSON."""
    from hfmm.evaluation.predict import predict_files, to_json_lines
    from hfmm.hub.pull import resolve_model_folder

    imports.silence_libraries()
    predictions = predict_files(resolve_model_folder(model), inputs, texts or (), precision)
    for line in to_json_lines(predictions):
        typer.echo(line)


@app.command("env")
def env_command() -> None:
    """Show versions, hardware, the chosen precision, decoders, and whether the Hub can be reached."""
    from hfmm.cli.env import environment_report

    for name, value in environment_report().items():
        typer.echo(f"{name:<18} {value}")


def main() -> None:
    """Run the command line and exit."""
    imports.pause_gc_for_imports()
    run_and_exit(app)
