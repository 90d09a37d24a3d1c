"""The READMEs: their size, code, links, commands and recipes.

`python -m tests.test_docs` writes recipes/README.md and model_cards/overview.png.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
import pytest
import typer
from pydantic import BaseModel

from hfmm import metrics, registry
from hfmm.cli.main import app
from hfmm.plan import resolve_plan
from hfmm.recipe import passthrough, schema
from hfmm.recipe.annotate import to_annotated_yaml
from hfmm.recipe.load import list_recipes, load_recipe

ROOT = Path(__file__).parent.parent
README, PACKAGE, RECIPES, CARDS = (ROOT / folder / "README.md" for folder in (".", "hfmm", "recipes", "model_cards"))
MAX_README_BYTES = 10_240

INTRODUCTION = """# Recipes

<!-- Written by `python -m tests.test_docs` from the settings classes. Do not edit by hand. -->

A recipe is a YAML file that describes a run. `hfmm show RECIPE` prints it with all defaults and a comment for each key.

- `extends: NAME` starts from another recipe, given by name or path. Mappings are merged, all other values are replaced.
  A section with another `builder` replaces the old section.
- `--set KEY=VALUE` changes a value on the command line. The key is dotted, and stages are given by name or index:
  `--set data.seed=1 --set stages.full.num_train_epochs=4`.
- Unknown keys are errors. The message names the file, the line and the closest valid key.
- A component of your own is given by its dotted path, such as `data: {builder: mypackage.mydata}`. [How to write
  one](../hfmm/README.md).
"""

# Keys of format 1 and of format 2, by section.
RENAMED_KEYS = {
    "recipe": {
        "probes": "baselines",
        "elsewhere": "forgetting, a list",
        "workers": "dataloader_num_workers",
        "compile": "torch_compile",
    },
    "stages": {
        "train": "trainable",
        "epochs": "num_train_epochs",
        "batch_size": "per_device_train_batch_size",
        "warmup": "warmup_steps",
        "schedule": "lr_scheduler_type",
        "patience": "early_stopping_patience",
        "interpolate": "wise_ft_alpha",
    },
    "stages.*.lora": {
        "rank": "r",
        "alpha": "lora_alpha",
        "dropout": "lora_dropout",
        "targets": "target_modules",
    },
    "task": {
        "negatives": "hard_negatives_per_row",
        "vary": "augment_prob",
        "mask": "spec_augment",
        "replace": "decoder_noise",
        "ctc": "ctc_weight",
    },
    "data": {
        "on_bad_row: stop": "on_invalid_row: error",
        "cache_features": "cache_vision_features",
        "label: cell": "label: all",
        "pictures": "image_kinds",
        "complements": "full_sentences",
        "hardest": "max_difficulty",
        "vary": "augment",
    },
    "model": {
        "text": "text_model",
        "language (of a LLaVA)": "language_model",
        "vision": "init_vision_from",
        "width": "projection_dim",
        "connector: pooled": "connector: pixel_shuffle",
        "feature_layer": "vision_feature_layer",
    },
}

# Meanings of fields whose class has no description for them, by "Class.field" or by field.
MEANINGS = {
    "Recipe.name": "the name of the run and of its model; `runs/<name>` is the default run directory",
    "Recipe.task": "what the model learns",
    "Recipe.data": "the dataset",
    "Recipe.model": "the checkpoint",
    "Recipe.seed": "seed of the weights of new layers, of the row order and of the augmentation",
    "Recipe.publish": "metadata of the model card",
    "Stage.name": "name of the stage, for `--set stages.<name>...` and the card",
    "Lora.lora_dropout": "as in `LoraConfig`",
    "Publish.license": "license of the model",
    "Publish.language": "language of the model",
    "Publish.title": "title of the card; by default the name of the recipe",
    "FolderOptions.test": "as `validation`, for the test split",
    "FolderOptions.seed": "seed of the split",
    "PagesOptions.hold_out": "what the test split does not share with training: fonts, grammar cells, or only rows",
    "SpokenVerbsOptions.test": "the voice of the test split",
    "VisualQuestionsOptions.image_kinds": "which images are drawn",
    "revision": "branch, tag or commit on the Hub; by default the newest commit, which is recorded in the run",
    "text_model_revision": "branch, tag or commit of `text_model`",
    "init_vision_from_revision": "branch, tag or commit of `init_vision_from`",
    "language_model_revision": "branch, tag or commit of `language_model`",
    "train": "number of training rows",
    "validation": "number of validation rows",
    "test": "number of test rows",
    "seed": "seed of the random draws",
}
TYPE_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", Any: "any value"}


def recipes_readme() -> str:
    """Return the text of recipes/README.md."""
    parts = (_recipe_list(), _sections(), _passed_through(), _component_lists(), _renamed_keys())
    return "\n".join([INTRODUCTION, *(line for part in parts for line in part)]) + "\n"


def _recipe_list() -> Iterator[str]:
    yield from ("## Recipes that come with hfmm", "", "| recipe | task | data | checkpoint |", "|---|---|---|---|")
    for name, path in list_recipes().items():
        recipe = load_recipe(name)
        link = f"[`{name}`]({path.relative_to(ROOT / 'recipes').as_posix()})"
        yield f"| {link} | {recipe.task.name} | {recipe.data.builder} | `{recipe.model.checkpoint}` |"
    yield from (
        "",
        "The recipes under `pretrain/` made the built-in checkpoints. Those of images need the extra `pretrain` for",
        'its fonts, those of speech the extra `speech` for its voice: `pip install -e ".[pretrain,speech]"`.',
        "",
    )


def _sections() -> Iterator[str]:
    yield from _section("recipe", "The top level of the file.", schema.Recipe)
    yield from _section("stages", "A list of training stages.", schema.Stage)
    yield from _section("stages.*.lora", _first_paragraph(schema.Lora), schema.Lora)
    tasks = {name: module.TASK for name, module in registry.load_all("tasks").items()}
    builders, families = registry.load_all("data"), registry.load_all("models")
    yield from _section("task", f"{_first_paragraph(schema.Task)} Further keys are its options.", schema.Task)
    for name, task in tasks.items():
        yield from _section(f"task: {name}", _first_paragraph(inspect.getmodule(task)), task.Options)
    yield from _section(
        "data", f"{_first_paragraph(schema.Data)} Further keys are options of the builder.", schema.Data
    )
    for name, builder in builders.items():
        yield from _section(f"data: {name}", builder.DESCRIPTION, builder.OPTIONS)
    text = f"{_first_paragraph(schema.Model)} Further keys are options of the family, which is found by the checkpoint."
    yield from _section("model", text, schema.Model)
    for name, module in families.items():
        yield from _section(f"model: {name}", _first_paragraph(type(module.FAMILY)), module.FAMILY.Options)
    yield from _section("publish", _first_paragraph(schema.Publish), schema.Publish)


def _section(title: str, text: str, kind: type[BaseModel]) -> Iterator[str]:
    level = "###" if ": " in title else "##"
    yield from (f"{level} {title}", "", text, "")
    if not kind.model_fields:
        yield from ("No options.", "")
        return
    yield from ("| key | type | default | meaning |", "|---|---|---|---|")
    for name, field in kind.model_fields.items():
        cells = (f"`{name}`", _type(field.annotation, field.metadata), _default(field), meaning(kind, name))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
    yield ""


def meaning(kind: type[BaseModel], name: str) -> str:
    """Return the meaning of a field: its description, or a text of this module."""
    if description := kind.model_fields[name].description:
        return description
    if kind is schema.Stage and name in passthrough.OWNED_TRAINING_ARGUMENTS:
        return "as in `TrainingArguments`"
    return MEANINGS.get(f"{kind.__name__}.{name}") or MEANINGS.get(name, "")


def _type(annotation: Any, metadata: list[Any]) -> str:
    limits = {
        annotated_types.Ge: lambda limit: f">= {limit.ge}",
        annotated_types.Gt: lambda limit: f"> {limit.gt}",
        annotated_types.Le: lambda limit: f"<= {limit.le}",
        annotated_types.Lt: lambda limit: f"< {limit.lt}",
        annotated_types.MinLen: lambda limit: "not empty",
    }
    texts = [text(limit) for limit in metadata for kind, text in limits.items() if isinstance(limit, kind)]
    return ", ".join([_type_name(annotation), *texts])


def _type_name(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_type_name(argument) for argument in arguments if argument is not type(None))
    if origin in (list, tuple):
        return f"list of {_type_name(arguments[0])}"
    if origin is dict:
        return "mapping"
    if hasattr(annotation, "__metadata__"):  # Annotated
        return _type_name(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        title = {"Stage": "stages", "Lora": "stages.*.lora"}.get(annotation.__name__, annotation.__name__.lower())
        return f"[{title}](#{_anchor(title)})"
    return TYPE_NAMES[annotation]


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    if field.default is None:
        return ""
    return "its defaults" if isinstance(field.default, BaseModel) else f"`{json.dumps(field.default)}`"


def _passed_through() -> Iterator[str]:
    yield from (
        "## Passed through to the libraries",
        "",
        "`training_arguments` of a stage takes any field of `transformers.TrainingArguments`, `lora` any field of",
        "`peft.LoraConfig`, and `model.load` arguments of `from_pretrained`. The names are checked against the",
        "installed versions.",
        "",
        "`model.load.quantization_config` names a config class and its arguments. The adapters of a language model or",
        "of Whisper then train on quantized weights (QLoRA). The saved model is not quantized: the adapters are merged",
        "into the original weights, and these are scored. bitsandbytes runs on CUDA GPUs and on CPUs.",
        "",
        "```yaml",
        "model:",
        "  checkpoint: HuggingFaceTB/SmolLM2-135M-Instruct",
        "  load: {quantization_config: {name: BitsAndBytesConfig, load_in_4bit: true, bnb_4bit_quant_type: nf4}}",
        "  # With torchao: {name: TorchAoConfig, quant_type: {name: Int8WeightOnlyConfig}}",
        "```",
        "",
        "hfmm sets the following fields itself:",
        "",
        "| in | field | instead |",
        "|---|---|---|",
    )
    for section, owned in (
        ("training_arguments", passthrough.OWNED_TRAINING_ARGUMENTS),
        ("lora", passthrough.OWNED_LORA_ARGUMENTS),
        ("load", passthrough.OWNED_LOAD_ARGUMENTS),
    ):
        yield from (f"| {section} | `{name}` | {reason} |" for name, reason in owned.items())
    yield ""


def _component_lists() -> Iterator[str]:
    for kind, text in (
        ("metrics", "The first one selects the best epoch."),
        ("baselines", "Scored on the test split."),
    ):
        yield from (f"## {kind}", "", f"{text} They take no options.", "", "| name | meaning |", "|---|---|")
        for name, module in registry.load_all(kind).items():  # type: ignore[arg-type]
            yield f"| `{name}` | {_first_paragraph(module)} |"
        yield ""


def _renamed_keys() -> Iterator[str]:
    yield from (
        "## Keys of format 1",
        "",
        "Recipes have format 2. In a recipe of format 1, rename these keys:",
        "",
        "| section | format 1 | format 2 |",
        "|---|---|---|",
    )
    for section, names in RENAMED_KEYS.items():
        yield from (f"| {section} | `{old}` | `{new}` |" for old, new in names.items())


def _first_paragraph(documented: Any) -> str:
    return " ".join((inspect.getdoc(documented) or "").split("\n\n")[0].split())


def draw_overview(name: str = "vit-icons") -> Any:
    """Return the image of the README: the top of a model card, its loss curve, a confusion matrix and training data."""
    from matplotlib import get_data_path
    from PIL import Image, ImageDraw, ImageFont

    def font(style: str, size: int) -> Any:
        return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans{style}.ttf", size)

    folder, width, margin = CARDS.parent / name, 720, 20
    sheet = Image.new("RGB", (2 * width + 3 * margin, 1020), "white")
    draw = ImageDraw.Draw(sheet)
    y, is_code = margin, False
    card = (CARDS.parent / f"{name}.md").read_text().split("---\n", 2)[2].strip()
    top = card[: card.index("```", card.index("```text") + 3)]
    # Join the lines of each paragraph, but not those of code.
    joined = [
        part if index % 2 else re.sub(r"(?<=\S)\n(?=\S)", " ", part) for index, part in enumerate(top.split("```"))
    ]
    for line in "```".join(joined).splitlines():
        if line.startswith("```"):
            is_code = not is_code
        elif line.startswith("!["):
            sheet.paste(Image.open(folder / "example.png").resize((128, 128)), (margin, y))
            y += 140
        elif not line:
            y += 12
        else:
            level = len(line) - len(line.lstrip("#"))
            size = 15 if is_code else {1: 32, 2: 24}.get(level, 17)
            style = "Mono" if is_code else "-Bold" if level else ""
            text = re.sub(r"[*`]|^#+ ", "", line)
            for part in [line] if is_code else textwrap.wrap(text, 40 if level else 78):
                draw.text((margin + 12 * is_code, y), part, "black", font(style, size))
                y += round(1.5 * size)
    confusion, loss, samples = (
        Image.open(folder / f"{part}.png").convert("RGB") for part in ("confusion", "loss", "samples")
    )
    confusion = confusion.crop((0, 0, confusion.width // 3, confusion.height))  # of the first attribute
    x, y_right = width + 2 * margin, margin
    for plot, height in ((loss, 340), (confusion, 620)):
        plot = plot.resize((round(plot.width * height / plot.height), height), Image.Resampling.LANCZOS)
        sheet.paste(plot, (x + (width - plot.width) // 2, y_right))
        y_right += height + margin
    samples = samples.resize((width, round(samples.height * width / samples.width)), Image.Resampling.LANCZOS)
    sheet.paste(samples, (margin, sheet.height - samples.height - margin))
    return sheet.quantize(256, method=Image.Quantize.MAXCOVERAGE)


def code_blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a Markdown file in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _commands(path: Path) -> list[list[str]]:
    """Return the words of each `hfmm` command in the code of a Markdown file."""
    text = path.read_text()
    code = [line for block in code_blocks(path, "bash") for line in block.splitlines()]
    code += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE))
    matches = [re.search(r"(?:^|[ /])hfmm ((?:[a-z]|--help).*)", line.split("  #")[0]) for line in code]
    return [match[1].split() for match in matches if match]


def test_the_readme_is_short() -> None:
    assert len(README.read_bytes()) <= MAX_README_BYTES


def test_the_overview_is_small() -> None:
    assert (CARDS.parent / "overview.png").stat().st_size <= 250_000


def test_the_recipe_keys_are_those_of_the_settings_classes() -> None:
    assert RECIPES.read_text() == recipes_readme(), "run `python -m tests.test_docs`"


def test_the_new_names_of_renamed_keys_exist() -> None:
    words = re.findall(r"^\| `(\w+)` \|", recipes_readme().split("## Keys of format 1")[0], re.MULTILINE)
    for names in RENAMED_KEYS.values():
        assert {re.split(r"[ :,]", new)[0] for new in names.values()} <= set(words)


def test_every_recipe_key_has_a_meaning() -> None:
    assert not re.findall(r"^\| `.*\|\s*\|$", recipes_readme(), re.MULTILINE)


@pytest.mark.parametrize("path", [README, PACKAGE], ids=["README", "hfmm"])
def test_the_python_code_parses(path: Path) -> None:
    blocks = code_blocks(path, "python")
    assert blocks
    for block in blocks:
        ast.parse(block)


@pytest.mark.parametrize("path", [README, PACKAGE, RECIPES, CARDS], ids=["README", "hfmm", "recipes", "model_cards"])
def test_the_relative_links_exist(path: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), f"{path}: {link}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in map(_anchor, headings), f"{path}: {link}"


@pytest.mark.parametrize("path", [README, PACKAGE, RECIPES, CARDS], ids=["README", "hfmm", "recipes", "model_cards"])
def test_the_commands_and_their_options_exist(path: Path) -> None:
    commands = _commands(path)
    assert commands
    for words in commands:
        group: Any = typer.main.get_command(app)
        command = group
        for word in words:
            if not hasattr(command, "commands"):
                break
            if word == "--help":
                break
            assert word in command.commands, f"hfmm {' '.join(words)}"
            command = command.commands[word]
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        used = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert used <= options, f"hfmm {' '.join(words)}"


@pytest.mark.parametrize("path", [README, PACKAGE], ids=["README", "hfmm"])
def test_the_recipes_load(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = code_blocks(path, "yaml")
    assert blocks
    for index, block in enumerate(blocks):
        file = tmp_path / f"{index}.yaml"
        file.write_text(block)
        recipe = load_recipe(str(file))
        if "." not in recipe.data.builder + recipe.task.name:  # a component of a user's own is not installed
            to_annotated_yaml(recipe)


def test_the_example_components_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PACKAGE.read_text()
    modules = re.findall(r"^`mine/(\w+)\.py`.*?^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert [name for name, _ in modules] == ["squares", "correct", "always_dark", "brightness", "family"]
    (tmp_path / "mine").mkdir()
    for name, code in modules:
        (tmp_path / "mine" / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    recipe_file = tmp_path / "squares.yaml"
    recipe_file.write_text(code_blocks(PACKAGE, "yaml")[0])
    plan = resolve_plan(load_recipe(str(recipe_file), ["data.train=4"]))
    splits = plan.build_dataset(tmp_path / "cache").splits
    model, processor = plan.model.load(splits["train"].features)
    task = plan.make_task(model, processor)
    batch = task.collate(list(splits["train"]))
    assert task.loss(model, batch, task.num_items(batch)).isfinite()
    predictions = list(task.predict(model, splits["test"], 4))
    baseline = plan.baselines["mine.always_dark"].predict(plan, task, model, splits)
    assert len(predictions) == len(baseline) == 8
    references = [task.reference(row) for row in splits["test"]]
    score = metrics.primary_score("mine.correct", task.metric_inputs(baseline), references)
    assert (model.config.hidden_dropout_prob, score) == (0.1, 0.5)


def test_the_readme_shows_every_command() -> None:
    group: Any = typer.main.get_command(app)
    assert {words[0] for words in _commands(README)} >= set(group.commands)


if __name__ == "__main__":
    RECIPES.write_text(recipes_readme())
    draw_overview().save(CARDS.parent / "overview.png", optimize=True)
