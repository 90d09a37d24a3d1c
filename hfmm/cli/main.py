"""The front door: every command is a few lines that call the package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from hfmm.cli import publish
from hfmm.cli.console import confirm_upload
from hfmm.cli.console import print_step as _report
from hfmm.cli.exit import run_and_exit
from hfmm.cli.inspect import app as inspect_app
from hfmm.errors import UserError
from hfmm.utils import imports
from hfmm.utils.distributed import is_main_process

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="From one recipe to a verified, publishable model.",
)
app.add_typer(inspect_app, name="inspect")
app.command("publish")(publish.publish_command)
app.command("reproduce")(publish.reproduce_command)

RecipeName = Annotated[str, typer.Argument(help="A recipe's name (see `hfmm list`) or the path of a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key=value, as often as you like.", metavar="KEY=VALUE")
]
RunFolder = Annotated[Path, typer.Argument(help="The folder that `hfmm run` wrote.")]

# They count verb forms, or questions of a kind that the rows of hfmm's own datasets name; others have none to count.
METRICS_OF_VERBS = ("verb_form", "correction_accuracy", "page_cer")


@app.command("run")
def run_command(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="Where the run is written; by default runs/<recipe name>.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a broken-off run stopped.")] = False,
) -> None:
    """Build the data, train, score what was saved, write the card, verify it in a clean process."""
    from hfmm.recipe.load import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    from hfmm.plan import resolve_task
    from hfmm.run import run_recipe

    folder = out or Path("runs") / loaded.name
    run_recipe(loaded, folder, resume, _report)
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
    """Show the recipes, and the parts that a recipe can name."""
    from hfmm import registry
    from hfmm.assets import builtin_checkpoints
    from hfmm.recipe.load import list_recipes, load_recipe

    typer.echo("recipes")
    for name in list_recipes():
        loaded = load_recipe(name)
        typer.echo(f"  {name:<28} {loaded.task.name} of {loaded.data.builder} from {loaded.model.checkpoint}")
    typer.echo(f"checkpoints   {', '.join(f'builtin:{name}' for name in builtin_checkpoints())}")
    for kind in registry.REQUIRED_NAMES:
        typer.echo(f"{kind:<13} {', '.join(registry.available(kind))}")


@app.command("show")
def show_command(
    recipe: RecipeName,
    overrides: Overrides = None,
    data: Annotated[str | None, typer.Option(help="Your folder, Parquet file or Hub dataset id.")] = None,
    columns: Annotated[
        list[str] | None, typer.Option("--column", help="ours=yours, for example label=species.", metavar="OURS=YOURS")
    ] = None,
) -> None:
    """Print a commented copy of a recipe, with your data filled in: the start of a recipe of your own."""
    from hfmm.recipe.annotate import to_annotated_yaml
    from hfmm.recipe.load import load_recipe

    if columns and data is None:
        raise UserError("--column names the columns of your own data: give the data with --data.")
    for pair in columns or ():
        if "=" not in pair:
            raise UserError(f"--column {pair}: write ours=yours, for example label=species.")
    own = [] if data is None else _overrides_for_user_data(load_recipe(recipe).metrics, data, columns or ())
    typer.echo(to_annotated_yaml(load_recipe(recipe, [*own, *(overrides or ())])), nl=False)


def _overrides_for_user_data(metrics: Sequence[str], data: str, columns: Sequence[str]) -> list[str]:
    """Return the changes that give a recipe the user's own data, and take away what is true of its own alone."""
    changes = {
        "data.builder": "folder",
        "data.path": data,
        "data.columns": dict(pair.split("=", 1) for pair in columns),
        "name": "my-model",
        "metrics": [name for name in metrics if name not in METRICS_OF_VERBS],
        "baselines": [],
        "forgetting": [],
        "publish.title": None,
    }
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in changes.items()]


@app.command("data")
def data_command(
    builder: Annotated[str, typer.Argument(help="A dataset's name (see `hfmm list`).")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    overrides: Overrides = None,
    processes: Annotated[int | None, typer.Option(help="How many processes draw; the result is the same.")] = None,
    push: Annotated[str | None, typer.Option(help="owner/name of a dataset repository to send it to.")] = None,
    private: publish.Private = False,
    dry_run: publish.DryRun = False,
    yes: publish.Yes = False,
) -> None:
    """Build a dataset as Parquet files with a dataset card and a contact sheet, and send it to the Hub if asked."""
    from hfmm.hub.dataset import build_and_save
    from hfmm.utils.hardware import available_cpus as all_processes

    if builder == "folder" and not any(one.startswith("path=") for one in overrides or ()):
        raise UserError("hfmm data folder: say where your data lies, with --set path=<your folder>.")
    imports.silence_libraries()
    target = publish.parse_repo_id(push, "dataset", private) if push else None
    build_and_save(builder, overrides or (), out, processes or all_processes(), push)
    typer.echo(f'card      {out}/contact_sheet.png\nload      datasets.load_dataset("{push or out}")')
    if target is not None:
        from hfmm.hub.publish import folder_upload, publish_upload

        publish_upload(folder_upload(target, out), out, confirm_upload(dry_run, yes), _report)


@app.command("evaluate")
def evaluate_command(run: RunFolder) -> None:
    """Score the saved model of a run again."""
    from hfmm.evaluation.evaluate import evaluate
    from hfmm.run import open_run, prepare_data
    from hfmm.run_directory import format_primary_score

    plan, run_directory = open_run(run)
    evaluate(plan, run_directory, prepare_data(plan, run_directory, _report))
    _report("evaluate", format_primary_score(run_directory))


@app.command("card")
def card_command(
    run: RunFolder,
    to: Annotated[Path | None, typer.Option(help="A folder that gets a copy, as this project's model_cards/.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail where card and run disagree.")] = False,
) -> None:
    """Draw the plots and write the card of a run again."""
    from hfmm.card.model_card import check_card_is_current, copy_card, write_card
    from hfmm.evaluation.predict import load_saved_model
    from hfmm.run import open_run

    plan, run_directory = open_run(run)
    saved = load_saved_model(plan, run_directory)
    if check:
        for path in check_card_is_current(plan, run_directory, saved, to):
            _report("card", f"{path} agrees with the record of the run")
        return
    _report("card", str(write_card(plan, run_directory, saved)))
    if to is not None:
        _report("copy", str(copy_card(run_directory, plan.recipe.name, to)))


@app.command("verify")
def verify_command(run: RunFolder) -> None:
    """Prove in a clean process that the saved model says what its card says."""
    from hfmm.evaluation.predict import load_saved_model
    from hfmm.run import open_run
    from hfmm.verify.verify import VERIFIED, verify

    plan, run_directory = open_run(run)
    saved = load_saved_model(plan, run_directory)
    _report("verify", VERIFIED.format(verify(plan, run_directory, saved)))


@app.command("predict")
def predict_command(
    model: Annotated[str, typer.Argument(help="A folder such as runs/<name>/model, a Hub id, or builtin:<name>.")],
    inputs: Annotated[list[str], typer.Argument(help="The files to predict.")],
    texts: Annotated[
        list[str] | None,
        typer.Option("--text", help="A text to choose from, or a question, for a model that takes one."),
    ] = None,
    precision: Annotated[
        Literal["auto", "bf16", "fp32"], typer.Option(help="auto: bf16 where the hardware is fast at it.")
    ] = "auto",
) -> None:
    """Print a model's prediction for each input file, one JSON line a file, or for each question about it."""
    from hfmm.evaluation.predict import predict_files, to_json_lines
    from hfmm.hub.pull import resolve_model_folder

    imports.silence_libraries()
    predictions = predict_files(resolve_model_folder(model), inputs, texts or (), precision)
    for line in to_json_lines(predictions):
        typer.echo(line)


@app.command("env")
def env_command() -> None:
    """Show versions, the precision chosen and why, the decoders found, and whether the Hub answers."""
    from hfmm.cli.env import environment_report

    for name, finding in environment_report().items():
        typer.echo(f"{name:<18} {finding}")


def main() -> None:
    """Run the command line."""
    imports.pause_gc_for_imports()
    run_and_exit(app)
