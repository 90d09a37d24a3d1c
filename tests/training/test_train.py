"""What the stages of a fused model write: frozen weights as they were, the same with features kept on disk."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open

from hfmm import models, run
from hfmm.errors import UserError
from hfmm.models import vision_language
from hfmm.models.common.checkpoint import load_saved
from hfmm.recipe.load import load_recipe
from hfmm.run_directory import RunDirectory
from hfmm.training import frozen
from hfmm.training.arguments import training_arguments
from hfmm.training.train import record_or_restore_environment, train

RECIPE = """
name: fused
task: image_text_to_text
data: {{builder: visual_questions, image_kinds: icons, turns: 1, train: 12, validation: 2, test: 2, size: 32}}
model: {{checkpoint: {vision}, language_model: {language}, max_new_tokens: 2}}
stages:
  - {{name: align, train: model.multi_modal_projector, num_train_epochs: 2, learning_rate: 1.0e-2, per_device_train_batch_size: 4}}
  - {{name: finetune, trainable: lora, num_train_epochs: 1, learning_rate: 1.0e-2, per_device_train_batch_size: 4}}
metrics: [exact_match]
precision: bf16
"""
PROJECTOR = "model.multi_modal_projector"
Trains = Callable[..., tuple[Path, list[str]]]


@pytest.fixture
def trains(tiny_vit: Path, tiny_llama: Path, tmp_path: Path) -> Trains:
    """Train a tiny recipe, some of its keys changed, and return the run's folder and what was said."""

    def trained(name: str, *overrides: str) -> tuple[Path, list[str]]:
        path = tmp_path / "fused.yaml"
        path.write_text(RECIPE.format(vision=tiny_vit, language=tiny_llama))
        recipe, said = load_recipe(str(path), overrides), []
        directory = RunDirectory(tmp_path / name)
        run.validate_recipe(recipe)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = run.prepare_data(recipe, directory, lambda step, text: None)
            train(recipe, directory, data, lambda step, text: said.append(f"{step} {text}"))
        return directory.root, said

    return trained


ALIGN = (
    "stages=[{name: align, train: model.multi_modal_projector, num_train_epochs: 2, learning_rate: 1.0e-2, per_device_train_batch_size: 4}]",
)
TUNE = (
    "stages=[{name: finetune, trainable: lora, num_train_epochs: 1, learning_rate: 1.0e-2, per_device_train_batch_size: 4}]",
)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_saved(str(folder / "model"))[0].state_dict()
    return found


def source(folder: Path) -> dict[str, torch.Tensor]:
    """The weights that the run began with."""
    recipe = load_recipe(str(folder.parent / "fused.yaml"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.set_seed(recipe.seed)  # what no checkpoint holds, a pooler, begins at random
        model, _ = models.load(recipe, {}, vision_language.AUTO_CLASS)  # type: ignore[arg-type]
    found: dict[str, torch.Tensor] = model.state_dict()
    return found


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_frozen_weights_are_written_as_they_were_though_training_held_them_in_bf16(
    trains: Trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[Any] = []
    hold = frozen.cast_frozen_to_bf16

    def watched(model: Any) -> None:
        hold(model)
        held.append(model)

    monkeypatch.setattr(frozen, "cast_frozen_to_bf16", watched)
    folder, _ = trains("run", *ALIGN)
    assert frozen.has_bf16_weights(held[0])
    written, before = weights(folder), source(folder)
    assert {tensor.dtype for tensor in written.values()} == {torch.float32}
    changed = {name for name, tensor in written.items() if not torch.equal(tensor, before[name])}
    assert changed == {f"{PROJECTOR}.linear_{one}.{kind}" for one in (1, 2) for kind in ("weight", "bias")}
    assert json.loads((folder / "model/config.json").read_text())["dtype"] == "float32"


def test_training_is_the_same_to_the_bit_whether_frozen_weights_are_held_or_not(
    trains: Trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, _ = trains("held")
    monkeypatch.setattr(frozen, "cast_frozen_to_bf16", lambda model: None)
    unheld, _ = trains("unheld")
    assert_equal(weights(held), weights(unheld))


def test_features_kept_on_disk_train_the_same_weights_in_both_stages_and_are_computed_once(
    trains: Trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.training import feature_cache

    written: list[tuple[Any, ...]] = []
    write = feature_cache._write

    def watched(*all: Any) -> None:
        written.append(all)
        write(*all)

    monkeypatch.setattr(feature_cache, "_write", watched)
    seen, _ = trains("seen")
    kept, said = trains("kept", "data.cache_vision_features=true")
    assert_equal(weights(seen), weights(kept))
    assert len(written) == 1
    assert [line for line in said if line.startswith("features")] == [
        "features of 12 pictures are read from disk, 0.0 MB"
    ] * 2
    assert not (kept / "checkpoints/features").exists()


def test_features_kept_on_disk_equal_the_towers_in_fp32_and_pooled(trains: Trains) -> None:
    more = ("precision=fp32", "model.connector=pixel_shuffle", *ALIGN)
    vision = ("model.vision_feature_layer=1",)
    seen, _ = trains("seen", *more, *vision)
    kept, _ = trains("kept", *more, *vision, "data.cache_vision_features=true")
    assert_equal(weights(seen), weights(kept))


def test_a_run_that_was_killed_while_features_were_written_computes_them_again(
    trains: Trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.training import feature_cache

    write = feature_cache.write_json
    monkeypatch.setattr(feature_cache, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        trains("broken", *ALIGN, "data.cache_vision_features=true")
    monkeypatch.setattr(feature_cache, "write_json", write)
    broken, _ = trains("broken", *ALIGN, "data.cache_vision_features=true")
    whole, _ = trains("whole", *ALIGN)
    assert_equal(weights(broken), weights(whole))


def test_a_run_that_was_killed_in_its_second_epoch_ends_with_the_same_weights(
    trains: Trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.training.trainer import StageTrainer

    whole, _ = trains("whole", *ALIGN, "data.cache_vision_features=true")
    evaluate, calls = StageTrainer.evaluate, []

    def killed(self: StageTrainer, *all: Any, **more: Any) -> dict[str, float]:
        calls.append(self.state.global_step)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(self, *all, **more)

    monkeypatch.setattr(StageTrainer, "evaluate", killed)
    with pytest.raises(KeyboardInterrupt):
        trains("broken", *ALIGN, "data.cache_vision_features=true")
    assert calls == [3, 6]
    broken, _ = trains("broken", *ALIGN, "data.cache_vision_features=true")
    assert calls == [3, 6, 6]
    assert_equal(weights(broken), weights(whole))


@pytest.mark.parametrize("killed_in", ["the third evaluation", "the record"])
def test_patience_goes_on_where_a_killed_stage_was_and_ends_with_the_same_weights(
    killed_in: str, trains: Trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.training import stage_output, trainer

    patient = "stages=[{name: align, train: model.multi_modal_projector, num_train_epochs: 7, early_stopping_patience: 2, learning_rate: 1.0e-2, "
    patient += "batch_size: 4}]"

    def scored(*scores: float | None) -> None:
        left = iter(scores)

        def headline(*_: Any) -> float:
            if (score := next(left)) is None:
                raise KeyboardInterrupt
            return score

        monkeypatch.setattr(trainer, "headline", headline)

    def steps(folder: Path) -> int:
        record: dict[str, int] = json.loads((folder / "checkpoints/0-align/stage.json").read_text())
        return record["steps"]

    scored(0.5, 0.4, 0.3)
    whole, _ = trains("whole", patient)
    if killed_in == "the record":
        scored(0.5, 0.4, 0.3)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(stage_output, "save_stage", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            trains("broken", patient)
        scored()
    else:
        scored(0.5, 0.4, None)
        with pytest.raises(KeyboardInterrupt):
            trains("broken", patient)
        scored(0.3, 0.9, 0.9, 0.9, 0.9)
    broken, _ = trains("broken", patient)
    assert steps(broken) == steps(whole) == 9
    assert_equal(weights(broken), weights(whole))


def test_one_process_trains_on_one_gpu_and_takes_the_batches_that_the_recipe_says(
    write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def two(self: Any) -> torch.device:
        self._n_gpu = 2
        return torch.device("cpu")

    monkeypatch.setattr(transformers.TrainingArguments, "_setup_devices", property(two))
    made = training_arguments(load_recipe(str(write_recipe())), 0, tmp_path, 24, True, False, 1)
    assert (made.n_gpu, made.train_batch_size) == (1, 8)


def test_where_the_tower_trains_nothing_is_kept_and_all_that_is_read_trains(trains: Trains) -> None:
    stage = "stages=[{name: all, trainable: all, num_train_epochs: 1, learning_rate: 1.0e-2, per_device_train_batch_size: 4}]"
    folder, said = trains("run", stage, "data.cache_vision_features=true")
    assert "features of pictures are computed in each step, because the vision tower trains" in said
    before, after = source(folder), weights(folder)
    same = {name for name in after if torch.equal(after[name], before[name])}
    # The last layer of the tower and the norm after it stand behind the layer that features are taken from.
    unread = {"layers.1", "layernorm.weight", "layernorm.bias", "pooler.dense"}
    of_tower = [name.removeprefix("model.vision_tower.") for name in same if "vision_tower" in name]
    assert {".".join(name.split(".")[:2]) for name in of_tower if not name.endswith("k_proj.bias")} == unread


def test_an_assembled_model_has_no_adapter_because_no_checkpoint_is_its_base(trains: Trains) -> None:
    folder, _ = trains("run")
    record = json.loads((folder / "checkpoints/1-finetune/stage.json").read_text())
    assert record["merge_difference"] < 1e-4
    assert not (folder / "adapter").exists()


def test_a_stage_that_interpolates_ends_between_what_it_began_with_and_what_it_trained(trains: Trains) -> None:
    whole, _ = trains("whole", *ALIGN)
    half, _ = trains("half", *ALIGN, "stages.align.wise_ft_alpha=0.5")
    before, after, between = source(whole), weights(whole), weights(half)
    moved = {name for name in between if not torch.equal(between[name], before[name])}
    assert moved == {f"{PROJECTOR}.linear_{one}.{kind}" for one in (1, 2) for kind in ("weight", "bias")}
    for name in moved:
        torch.testing.assert_close(between[name], (before[name] + after[name]) / 2)


CLEAN = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor
base, adapter, merged = sys.argv[1:]
assert json.load(open(adapter + "/adapter_config.json"))["base_model_name_or_path"] == base
asked = [{"type": "image", "url": merged + "/example.png"}, {"type": "text", "text": "Who?"}]
batch = AutoProcessor.from_pretrained(merged).apply_chat_template(
    [{"role": "user", "content": asked}], add_generation_prompt=True, tokenize=True, return_dict=True,
    return_tensors="pt",
)
with torch.no_grad():
    one = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(base), adapter).eval()(**batch).logits
    two = AutoModelForImageTextToText.from_pretrained(merged)(**batch).logits
    three = AutoModelForImageTextToText.from_pretrained(base)(**batch).logits
print(json.dumps([float((one - two).abs().max()), float((one - three).abs().max()), "hfmm" in sys.modules]))
"""


def test_an_adapter_on_an_aligned_base_gives_the_merged_models_logits_in_a_clean_process(
    trains: Trains, tmp_path: Path
) -> None:
    from PIL import Image

    aligned, _ = trains("aligned", *ALIGN)
    base = str(aligned / "model")
    folder, _ = trains("tuned", f"model={{checkpoint: {base}, max_new_tokens: 2}}", *TUNE)
    Image.radial_gradient("L").save(folder / "model/example.png")
    arguments = [base, str(folder / "adapter"), str(folder / "model")]
    done = subprocess.run([sys.executable, "-I", "-c", CLEAN, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    difference, learnt, ours = json.loads(done.stdout)
    assert difference < 1e-4 < learnt and not ours
    with safe_open(folder / "adapter/adapter_model.safetensors", "pt") as tensors:
        assert any(PROJECTOR in name for name in tensors.keys())  # noqa: SIM118
    assert {file.name for file in (folder / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_features_are_refused_to_a_task_that_takes_none_and_to_rows_that_are_only_predicted(
    write_recipe: Callable[..., Path],
) -> None:
    with pytest.raises(
        UserError, match=r"data\.cache_vision_features: the task image_classification .* takes no features"
    ):
        run.validate_recipe(load_recipe(str(write_recipe()), ["data.cache_vision_features=true"]))
    with pytest.raises(UserError, match="too seldom for cache_vision_features"):
        load_recipe(str(write_recipe()), ["forgetting=[{builder: icons, cache_vision_features: true}]"])


def test_weights_in_bf16_are_refused_to_a_task_that_answers_in_scores(write_recipe: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"publish\.dtype: image_classification answers in scores"):
        run.validate_recipe(load_recipe(str(write_recipe()), ["publish.dtype=bfloat16"]))


def test_gradients_of_rows_looked_up_by_index_are_the_same_each_time_on_processors(tmp_path: Path) -> None:
    run_directory = RunDirectory(tmp_path / "run")
    record_or_restore_environment(load_recipe("whisper_verbs"), run_directory)
    rows, chosen = torch.randn(64, 192, requires_grad=True), torch.arange(24).repeat(16)
    weights, threads = torch.randn(len(chosen), 192), torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = [torch.autograd.grad((rows[chosen] * weights).sum(), rows)[0] for _ in range(20)]
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, found[0]) for one in found)
