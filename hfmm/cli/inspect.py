"""`hfmm inspect`: analyze a checkpoint without a recipe."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hfmm.errors import UserError
from hfmm.utils import imports

if TYPE_CHECKING:
    from hfmm.recipe.schema import Data

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Analyze a checkpoint.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("gap")
def gap_command(
    model: Annotated[str | None, typer.Argument(help="A model folder, a Hub id, or builtin:<name>.")] = None,
    data: Annotated[str | None, typer.Argument(help="Name of a dataset (see `hfmm list`) or path of your own.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Set an option of the dataset, for example size=64.", metavar="KEY=VALUE"),
    ] = None,
    embeddings: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Two .npy files, of images and of texts, instead of MODEL and DATA."),
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Shift the embeddings along the gap and score each shift.")
    ] = False,
    as_json: AsJson = False,
    out: Annotated[Path, typer.Option(help="The folder for the plots.")] = Path("gap"),
) -> None:
    """Measure and plot the modality gap, the distance between image and text embeddings."""
    from hfmm.inspection import gap

    if (embeddings is None) == (model is None or data is None):
        raise UserError(
            "Pass either a model and a dataset, `hfmm inspect gap runs/clip-grammar/model icons`, or two files, "
            "`hfmm inspect gap --embeddings images.npy texts.npy`."
        )
    imports.silence_libraries()
    if embeddings is not None:
        pairs = gap.load_embeddings(*embeddings)
    else:
        with tempfile.TemporaryDirectory() as cache:
            pairs = gap.embed_test_split(str(model), _data_options(str(data), overrides or []), Path(cache))
    measures = gap.measure(pairs)
    shifts = gap.sweep(pairs) if sweep else []
    plots = gap.draw(pairs, shifts, out)
    if as_json:
        result = {"rows": len(pairs.references), "measures": measures, "pictures": [str(path) for path in plots]}
        typer.echo(json.dumps(result | ({"sweep": shifts} if sweep else {}), indent=2))
        return
    for name, value in measures.items():
        typer.echo(f"{name:<40} {value:8.4f}")
    if sweep:
        columns = [
            "shift",
            "modality gap distance",
            "retrieval image->text R@1",
            "retrieval text->image R@1",
            "zero shot",
        ]
        columns = [name for name in columns if name in shifts[0]]
        typer.echo("\n" + "  ".join(columns))
        for row in shifts:
            typer.echo("  ".join(f"{row[name]:{len(name)}.3f}" for name in columns))
    typer.echo("\n" + "\n".join(f"plot      {path}" for path in plots))


@app.command("tokens")
def density_command(
    checkpoints: Annotated[list[str], typer.Argument(help="Model folders, Hub ids, or builtin:<name>.")],
    text: Annotated[str, typer.Option(help="The sentence to encode.")] = "a cat sits on a mat",
    seconds: Annotated[float, typer.Option(min=0.1, help="Duration of the spoken sentence.")] = 5.0,
    as_json: AsJson = False,
    out: Annotated[Path, typer.Option(help="The file of the plot.")] = Path("density.png"),
) -> None:
    """Count the tokens of a sentence as icon, photographed page, speech and text."""
    from hfmm.inspection import token_count

    imports.silence_libraries()
    if not text.strip():
        raise UserError("--text is empty. Pass a sentence.")
    counts = token_count.count_tokens(checkpoints, text, seconds)
    token_count.draw(counts, f'"{text}", {seconds:g} s of speech', out)
    if as_json:
        typer.echo(json.dumps([count._asdict() for count in counts], indent=2))
        return
    for count in counts:
        typer.echo(f"{count.modality:<8} {count.tokens:>6}  {count.checkpoint:<32} {count.how}")
    typer.echo(f"\nplot      {out}")


@app.command("attention")
def attention_command(
    audio: Annotated[Path, typer.Argument(help="An audio file: WAV, FLAC, Ogg, Opus or MP3.")],
    model: Annotated[str, typer.Option(help="A Whisper model: a folder, a Hub id, or builtin:<name>.")],
    as_json: AsJson = False,
    out: Annotated[Path, typer.Option(help="The file of the plot.")] = Path("attention.png"),
) -> None:
    """Transcribe a clip with a Whisper model and show tokens, probabilities, times and cross-attention."""
    from hfmm.inspection import attention

    imports.silence_libraries()
    details = attention.transcribe_with_attention(model, audio)
    attention.draw(details, out)
    if as_json:
        tokens, words = [token._asdict() for token in details.tokens], [word._asdict() for word in details.words]
        result = {"text": details.text, "segments": details.segments, "tokens": tokens, "words": words}
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{'token':<16} {'id':>6} {'logit':>7} {'probability':>12} {'seconds':>14}")
    for token in details.tokens:
        times = f"{token.start:.2f} to {token.end:.2f}"
        typer.echo(f"{token.text!r:<16} {token.id:>6} {token.logit:>7.2f} {token.probability:>12.3f} {times:>14}")
    typer.echo("\nwords     " + ", ".join(f"{word.text} {word.start:.2f}" for word in details.words))
    typer.echo(f"segments  {details.segments}\nplot      {out}")


def _data_options(name: str, overrides: list[str]) -> Data:
    """Return the data section for a builder's name or a path; raises UserError for an invalid override."""
    from hfmm import registry
    from hfmm.recipe.overrides import apply_override
    from hfmm.recipe.schema import Data
    from hfmm.recipe.validation import validate

    is_builtin = name in registry.available("data")
    fixed = {"builder": name} if is_builtin else {"builder": "folder", "path": name}
    values: dict[str, Any] = dict(fixed)
    key_locations: dict[str, str] = {}
    for override in overrides:
        if override.partition("=")[0] in fixed:
            raise UserError(
                f"--set {override}: the argument DATA already sets the dataset to {name}. Remove this option."
            )
        apply_override(values, key_locations, override)
    return validate(Data, values, key_locations)
