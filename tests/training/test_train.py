"""The stages of a LLaVA model: frozen weights are saved unchanged, and cached features give the same weights."""

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

from hfmm import run
from hfmm.errors import UserError
from hfmm.models.common.checkpoint import load_saved
from hfmm.plan import resolve_plan
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
  - {align}
  - {finetune}
metrics: [exact_match]
precision: bf16
"""
PROJECTOR = "model.multi_modal_projector"
PROJECTOR_PARAMETERS = {f"{PROJECTOR}.linear_{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")}
SETTINGS = "learning_rate: 1.0e-2, per_device_train_batch_size: 4"
ALIGN_STAGE = f"{{name: align, trainable: {PROJECTOR}, num_train_epochs: 2, {SETTINGS}}}"
FINETUNE_STAGE = f"{{name: finetune, trainable: lora, num_train_epochs: 1, {SETTINGS}}}"
ALIGN, FINETUNE = f"stages=[{ALIGN_STAGE}]", f"stages=[{FINETUNE_STAGE}]"
CACHE = "data.cache_vision_features=true"
TrainRecipe = Callable[..., tuple[Path, list[str]]]


@pytest.fixture
def train_recipe(tiny_vit: Path, tiny_llama: Path, tmp_path: Path) -> TrainRecipe:
    """Train a tiny recipe with overrides, and return the folder of the run and the reported messages."""

    def run_training(name: str, *overrides: str) -> tuple[Path, list[str]]:
        path = tmp_path / "fused.yaml"
        path.write_text(RECIPE.format(vision=tiny_vit, language=tiny_llama, align=ALIGN_STAGE, finetune=FINETUNE_STAGE))
        plan = resolve_plan(load_recipe(str(path), overrides))
        directory = RunDirectory(tmp_path / name)
        messages: list[str] = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = run.prepare_data(plan, directory, lambda step, text: None)
            train(plan, directory, data, lambda step, text: messages.append(f"{step} {text}"))
        return directory.root, messages

    return run_training


def final_weights(folder: Path) -> dict[str, torch.Tensor]:
    state_dict: dict[str, torch.Tensor] = load_saved(str(folder / "model"))[0].state_dict()
    return state_dict


def initial_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Return the weights before training."""
    plan = resolve_plan(load_recipe(str(folder.parent / "fused.yaml")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.set_seed(plan.recipe.seed)  # parameters that are not in the checkpoint are random: a pooler
        model, _ = plan.model.load({})  # type: ignore[arg-type]
    state_dict: dict[str, torch.Tensor] = model.state_dict()
    return state_dict


def assert_equal(weights: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert weights.keys() == expected.keys()
    assert [name for name in weights if not torch.equal(weights[name], expected[name])] == []


def test_frozen_weights_are_saved_in_fp32_after_bf16_training(
    train_recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast_models: list[Any] = []
    cast_frozen_to_bf16 = frozen.cast_frozen_to_bf16

    def record_cast(model: Any) -> None:
        cast_frozen_to_bf16(model)
        cast_models.append(model)

    monkeypatch.setattr(frozen, "cast_frozen_to_bf16", record_cast)
    folder, _ = train_recipe("run", ALIGN)
    assert frozen.has_bf16_weights(cast_models[0])
    after, before = final_weights(folder), initial_weights(folder)
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    changed = {name for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    assert changed == PROJECTOR_PARAMETERS
    assert json.loads((folder / "model/config.json").read_text())["dtype"] == "float32"


def test_casting_frozen_weights_to_bf16_does_not_change_training(
    train_recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    cast, _ = train_recipe("cast")
    monkeypatch.setattr(frozen, "cast_frozen_to_bf16", lambda model: None)
    uncast, _ = train_recipe("uncast")
    assert_equal(final_weights(cast), final_weights(uncast))


def test_cached_features_give_the_same_weights_and_are_computed_once(
    train_recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.training import feature_cache

    calls: list[tuple[Any, ...]] = []
    write = feature_cache._write

    def record_write(*arguments: Any) -> None:
        calls.append(arguments)
        write(*arguments)

    monkeypatch.setattr(feature_cache, "_write", record_write)
    uncached, _ = train_recipe("uncached")
    cached, messages = train_recipe("cached", CACHE)
    assert_equal(final_weights(uncached), final_weights(cached))
    assert len(calls) == 1
    assert [message for message in messages if message.startswith("features")] == [
        "features of 12 images are read from disk, 0.0 MB"
    ] * 2
    assert not (cached / "checkpoints/features").exists()


def test_cached_features_give_the_same_weights_in_fp32_with_pooling(train_recipe: TrainRecipe) -> None:
    overrides = ("precision=fp32", "model.connector=pixel_shuffle", ALIGN, "model.vision_feature_layer=1")
    uncached, _ = train_recipe("uncached", *overrides)
    cached, _ = train_recipe("cached", *overrides, CACHE)
    assert_equal(final_weights(uncached), final_weights(cached))


def test_a_run_killed_while_writing_features_computes_them_again(
    train_recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.training import feature_cache

    write = feature_cache.write_json
    monkeypatch.setattr(feature_cache, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        train_recipe("killed", ALIGN, CACHE)
    monkeypatch.setattr(feature_cache, "write_json", write)
    killed, _ = train_recipe("killed", ALIGN, CACHE)
    full, _ = train_recipe("full", ALIGN)
    assert_equal(final_weights(killed), final_weights(full))


def test_a_run_killed_in_its_second_epoch_ends_with_the_same_weights(
    train_recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.training.trainer import StageTrainer

    full, _ = train_recipe("full", ALIGN, CACHE)
    evaluate, calls = StageTrainer.evaluate, []

    def interrupt(self: StageTrainer, *args: Any, **kwargs: Any) -> dict[str, float]:
        calls.append(self.state.global_step)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(self, *args, **kwargs)

    monkeypatch.setattr(StageTrainer, "evaluate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_recipe("killed", ALIGN, CACHE)
    assert calls == [3, 6]
    killed, _ = train_recipe("killed", ALIGN, CACHE)
    assert calls == [3, 6, 6]
    assert_equal(final_weights(killed), final_weights(full))


@pytest.mark.parametrize("killed_in", ["the third evaluation", "the record"])
def test_early_stopping_continues_its_count_after_a_resume(
    killed_in: str, train_recipe: TrainRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hfmm.training import stage_output, trainer

    stage = f"{{name: align, trainable: {PROJECTOR}, num_train_epochs: 7, early_stopping_patience: 2, {SETTINGS}}}"
    overrides = f"stages=[{stage}]"

    def set_scores(*scores: float | None) -> None:
        """Let the next evaluations return these scores; None kills the run."""
        remaining = iter(scores)

        def primary_score(*_: Any) -> float:
            if (score := next(remaining)) is None:
                raise KeyboardInterrupt
            return score

        monkeypatch.setattr(trainer, "primary_score", primary_score)

    def steps(folder: Path) -> int:
        record: dict[str, int] = json.loads((folder / "checkpoints/0-align/stage.json").read_text())
        return record["steps"]

    set_scores(0.5, 0.4, 0.3)
    full, _ = train_recipe("full", overrides)
    if killed_in == "the record":
        set_scores(0.5, 0.4, 0.3)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(stage_output, "save_stage", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            train_recipe("killed", overrides)
        set_scores()
    else:
        set_scores(0.5, 0.4, None)
        with pytest.raises(KeyboardInterrupt):
            train_recipe("killed", overrides)
        set_scores(0.3, 0.9, 0.9, 0.9, 0.9)
    killed, _ = train_recipe("killed", overrides)
    assert steps(killed) == steps(full) == 9
    assert_equal(final_weights(killed), final_weights(full))


def test_one_process_uses_one_gpu_and_the_batch_size_of_the_recipe(
    write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def setup_two_gpus(self: Any) -> torch.device:
        self._n_gpu = 2
        return torch.device("cpu")

    monkeypatch.setattr(transformers.TrainingArguments, "_setup_devices", property(setup_two_gpus))
    arguments = training_arguments(load_recipe(str(write_recipe())), 0, tmp_path, 24, True, False, 1)
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, 8)


def test_a_trainable_tower_is_not_cached_and_all_used_parameters_train(train_recipe: TrainRecipe) -> None:
    stages = f"stages=[{{name: all, trainable: all, num_train_epochs: 1, {SETTINGS}}}]"
    folder, messages = train_recipe("run", stages, CACHE)
    assert "features of images are recomputed at every step, because the vision tower is trainable" in messages
    before, after = initial_weights(folder), final_weights(folder)
    unchanged = {name for name in after if torch.equal(after[name], before[name])}
    # Features are taken before the last layer of the tower and the norm after it.
    unused = {"layers.1", "layernorm.weight", "layernorm.bias", "pooler.dense"}
    in_tower = [name.removeprefix("model.vision_tower.") for name in unchanged if "vision_tower" in name]
    assert {".".join(name.split(".")[:2]) for name in in_tower if not name.endswith("k_proj.bias")} == unused


def test_an_assembled_model_has_no_adapter_without_a_base_checkpoint(train_recipe: TrainRecipe) -> None:
    folder, _ = train_recipe("run")
    record = json.loads((folder / "checkpoints/1-finetune/stage.json").read_text())
    assert record["merge_difference"] < 1e-4
    assert not (folder / "adapter").exists()


def test_wise_ft_interpolates_between_the_weights_before_and_after(train_recipe: TrainRecipe) -> None:
    full, _ = train_recipe("full", ALIGN)
    half, _ = train_recipe("half", ALIGN, "stages.align.wise_ft_alpha=0.5")
    before, after, interpolated = initial_weights(full), final_weights(full), final_weights(half)
    changed = {name for name in interpolated if not torch.equal(interpolated[name], before[name])}
    assert changed == PROJECTOR_PARAMETERS
    for name in changed:
        torch.testing.assert_close(interpolated[name], (before[name] + after[name]) / 2)


SCRIPT = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor
base, adapter, merged = sys.argv[1:]
assert json.load(open(adapter + "/adapter_config.json"))["base_model_name_or_path"] == base
content = [{"type": "image", "url": merged + "/example.png"}, {"type": "text", "text": "Who?"}]
batch = AutoProcessor.from_pretrained(merged).apply_chat_template(
    [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True,
    return_tensors="pt",
)
with torch.no_grad():
    base_model = AutoModelForImageTextToText.from_pretrained(base)
    with_adapter = PeftModel.from_pretrained(base_model, adapter).eval()(**batch).logits
    with_merged_weights = AutoModelForImageTextToText.from_pretrained(merged)(**batch).logits
    without_adapter = AutoModelForImageTextToText.from_pretrained(base)(**batch).logits
merge_difference = float((with_adapter - with_merged_weights).abs().max())
trained_difference = float((with_adapter - without_adapter).abs().max())
print(json.dumps([merge_difference, trained_difference, "hfmm" in sys.modules]))
"""


def test_adapter_and_merged_model_have_the_same_logits_without_hfmm(train_recipe: TrainRecipe, tmp_path: Path) -> None:
    from PIL import Image

    aligned, _ = train_recipe("aligned", ALIGN)
    base = str(aligned / "model")
    folder, _ = train_recipe("tuned", f"model={{checkpoint: {base}, max_new_tokens: 2}}", FINETUNE)
    Image.radial_gradient("L").save(folder / "model/example.png")
    arguments = [base, str(folder / "adapter"), str(folder / "model")]
    process = subprocess.run([sys.executable, "-I", "-c", SCRIPT, *arguments], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    merge_difference, trained_difference, hfmm_is_loaded = json.loads(process.stdout)
    assert merge_difference < 1e-4 < trained_difference and not hfmm_is_loaded
    with safe_open(folder / "adapter/adapter_model.safetensors", "pt") as tensors:
        assert any(PROJECTOR in name for name in tensors.keys())  # noqa: SIM118
    assert {file.name for file in (folder / "adapter").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_cached_features_are_rejected_where_they_have_no_effect(
    write_recipe: Callable[..., Path],
) -> None:
    with pytest.raises(
        UserError,
        match=r"data\.cache_vision_features: the task image_classification cannot train on cached features",
    ):
        resolve_plan(load_recipe(str(write_recipe()), [CACHE]))
    with pytest.raises(UserError, match="cache_vision_features is not supported in forgetting"):
        load_recipe(str(write_recipe()), ["forgetting=[{builder: icons, cache_vision_features: true}]"])


def test_bf16_weights_are_rejected_for_a_task_that_outputs_scores(write_recipe: Callable[..., Path]) -> None:
    with pytest.raises(UserError, match=r"publish\.dtype: image_classification outputs scores"):
        resolve_plan(load_recipe(str(write_recipe()), ["publish.dtype=bfloat16"]))


def test_gradients_of_indexing_are_deterministic_on_the_cpu(tmp_path: Path) -> None:
    run_directory = RunDirectory(tmp_path / "run")
    record_or_restore_environment(load_recipe("whisper_verbs"), run_directory)
    table, indices = torch.randn(64, 192, requires_grad=True), torch.arange(24).repeat(16)
    weights, num_threads = torch.randn(len(indices), 192), torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        gradients = [torch.autograd.grad((table[indices] * weights).sum(), table)[0] for _ in range(20)]
    finally:
        torch.set_num_threads(num_threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
