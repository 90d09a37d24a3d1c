"""`hfmm inspect`: questions about a checkpoint that need no recipe."""

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

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look inside a checkpoint.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("gap")
def gap_command(
    model: Annotated[str | None, typer.Argument(help="A model folder, a Hub id, or builtin:<name>.")] = None,
    data: Annotated[str | None, typer.Argument(help="A dataset's name (see `hfmm list`) or your folder.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value for the dataset.", metavar="KEY=VALUE")
    ] = None,
    embeddings: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Two .npy files, images and texts, instead of MODEL and DATA.")
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Shift both clouds along the gap, and score each shift.")
    ] = False,
    as_json: AsJson = False,
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("gap"),
) -> None:
    """Measure how far apart image and text embeddings lie, and draw them."""
    from hfmm.inspection import gap

    if (embeddings is None) == (model is None or data is None):
        raise UserError(
            "Give a model and a dataset, `hfmm inspect gap runs/clip-grammar/model icons`, or two files, "
            "`hfmm inspect gap --embeddings images.npy texts.npy`."
        )
    imports.silence_libraries()
    if embeddings is not None:
        clouds = gap.load_embeddings(*embeddings)
    else:
        with tempfile.TemporaryDirectory() as cache:
            clouds = gap.embed_test_split(str(model), _data(str(data), overrides or []), Path(cache))
    measures = gap.measure(clouds)
    shifts = gap.sweep(clouds) if sweep else []
    pictures = gap.draw(clouds, shifts, out)
    if as_json:
        found = {"rows": len(clouds.references), "measures": measures, "pictures": [str(one) for one in pictures]}
        typer.echo(json.dumps(found | ({"sweep": shifts} if sweep else {}), indent=2))
        return
    for name, value in measures.items():
        typer.echo(f"{name:<40} {value:8.4f}")
    if sweep:
        shown = [
            "shift",
            "modality gap distance",
            "retrieval image->text R@1",
            "retrieval text->image R@1",
            "zero shot",
        ]
        shown = [name for name in shown if name in shifts[0]]
        typer.echo("\n" + "  ".join(shown))
        for one in shifts:
            typer.echo("  ".join(f"{one[name]:{len(name)}.3f}" for name in shown))
    typer.echo("\n" + "\n".join(f"look      {one}" for one in pictures))


@app.command("tokens")
def density_command(
    checkpoints: Annotated[list[str], typer.Argument(help="Model folders, Hub ids, or builtin:<name>.")],
    text: Annotated[str, typer.Option(help="The sentence.")] = "a cat sits on a mat",
    seconds: Annotated[float, typer.Option(min=0.1, help="How long it takes to say.")] = 5.0,
    as_json: AsJson = False,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("density.png"),
) -> None:
    """Count the tokens that a sentence costs as icon, photographed page, speech and text."""
    from hfmm.inspection import token_count

    imports.silence_libraries()
    if not text.strip():
        raise UserError("--text is empty: give the sentence to count.")
    found = token_count.count_tokens(checkpoints, text, seconds)
    token_count.draw(found, f'"{text}", {seconds:g} s when spoken', out)
    if as_json:
        typer.echo(json.dumps([one._asdict() for one in found], indent=2))
        return
    for one in found:
        typer.echo(f"{one.modality:<8} {one.tokens:>6}  {one.checkpoint:<32} {one.how}")
    typer.echo(f"\nlook      {out}")


@app.command("attention")
def attention_command(
    sound: Annotated[Path, typer.Argument(help="A sound file: WAV, FLAC, Ogg, Opus or MP3.")],
    model: Annotated[str, typer.Option(help="A Whisper folder, Hub id, or builtin:<name>.")],
    as_json: AsJson = False,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("attention.png"),
) -> None:
    """Show what a Whisper heard in a clip: tokens, their probabilities and times, and where it looked."""
    from hfmm.inspection import attention

    imports.silence_libraries()
    heard = attention.transcribe_with_attention(model, sound)
    attention.draw(heard, out)
    if as_json:
        tokens, words = ([one._asdict() for one in part] for part in (heard.tokens, heard.words))
        found = {"text": heard.text, "segments": heard.segments, "tokens": tokens, "words": words}
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    typer.echo(f"{'token':<16} {'id':>6} {'logit':>7} {'probability':>12} {'seconds':>14}")
    for one in heard.tokens:
        times = f"{one.start:.2f} to {one.end:.2f}"
        typer.echo(f"{one.text!r:<16} {one.id:>6} {one.logit:>7.2f} {one.probability:>12.3f} {times:>14}")
    typer.echo("\nwords     " + ", ".join(f"{one.text} {one.start:.2f}" for one in heard.words))
    typer.echo(f"segments  {heard.segments}\nlook      {out}")


def _data(name: str, overrides: list[str]) -> Data:
    """Return the recipe part for a builder's name or a path; raises UserError for an override that does not fit it."""
    from hfmm import registry
    from hfmm.recipe.overrides import apply_override
    from hfmm.recipe.schema import Data
    from hfmm.recipe.validation import validate

    named = name in registry.available("data")
    given = {"builder": name} if named else {"builder": "folder", "path": name}
    values: dict[str, Any] = dict(given)
    origins: dict[str, str] = {}
    for override in overrides:
        if override.partition("=")[0] in given:
            raise UserError(f"--set {override}: the dataset is {name}, named behind the model. Leave this out.")
        apply_override(values, origins, override)
    return validate(Data, values, origins)
