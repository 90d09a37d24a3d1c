"""The command `hfmm evaluate`: a run again, or any model on data of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from hfmm.errors import UserError
from hfmm.utils import imports
from hfmm.utils.progress import print_step

Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--column", help="hfmm_column=your_column, for example label=species. Can be repeated.", metavar="OURS=YOURS"
    ),
]


def evaluate_command(
    model: Annotated[str, typer.Argument(help="A run; or with --data a folder, a Hub id or builtin:<name>.")],
    data: Annotated[str | None, typer.Option(help="Your folder, Parquet file or Hub dataset id.")] = None,
    columns: Columns = None,
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", help="A metric; by default those of the task. Can be repeated.")
    ] = None,
    split: Annotated[
        Literal["auto", "train", "validation", "test", "all"],
        typer.Option(help="auto: the test split if the data has one, otherwise all rows."),
    ] = "auto",
    skip_invalid_rows: Annotated[
        bool, typer.Option("--skip-invalid-rows", help="Leave out rows that cannot be used.")
    ] = False,
) -> None:
    """Evaluate the saved model of a run again, or any model on your own data."""
    if data is None:
        _evaluate_run(Path(model))
        return
    from hfmm.api import resolve_model
    from hfmm.evaluation.user_data import evaluate_on_rows, format_records, load_user_rows

    imports.silence_libraries()
    rows = load_user_rows(data, parse_columns(columns or ()), split)
    records, invalid_rows = evaluate_on_rows(resolve_model(model), rows, metrics or (), skip_invalid_rows)
    for line in format_records(records):
        typer.echo(line)
    for row in invalid_rows:
        typer.echo(f"left out      row {row.row}: {row.reason}", err=True)


def _evaluate_run(folder: Path) -> None:
    from hfmm.evaluation.evaluate import evaluate
    from hfmm.run import open_run, prepare_data
    from hfmm.run_directory import format_primary_score

    plan, run_directory = open_run(folder)
    evaluate(plan, run_directory, prepare_data(plan, run_directory, print_step))
    print_step("evaluate", format_primary_score(run_directory))


def parse_columns(columns: Sequence[str]) -> dict[str, str]:
    """Return hfmm's column names and the user's; raises UserError for a pair that is not written as OURS=YOURS."""
    for pair in columns:
        if "=" not in pair:
            raise UserError(f"--column {pair}: write it as hfmm_column=your_column, for example label=species.")
    return dict(pair.split("=", 1) for pair in columns)
