"""An adapter that trains on quantized weights is merged into the original ones, which are what is saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from hfmm.errors import UserError
from hfmm.models.common.chat_template import LLAVA_TURNS
from hfmm.models.common.checkpoint import load_saved
from hfmm.models.common.quantization import make_quantization_config
from hfmm.plan import Plan, resolve_plan
from hfmm.recipe.load import load_recipe
from hfmm.run import open_run, run_recipe
from hfmm.training import frozen, trainable

RECIPE = """
name: quantized
task: text_generation
data: {{builder: text_questions, turns: 1, train: 16, validation: 4, test: 4}}
model: {{checkpoint: {checkpoint}, max_new_tokens: 4, load: {{quantization_config: {config}}}}}
stages:
  - {{name: first, trainable: lora, {settings}}}
  - {{name: second, trainable: lora, {settings}}}
metrics: [exact_match]
"""
SETTINGS = "num_train_epochs: 1, learning_rate: 1.0e-2, per_device_train_batch_size: 8, lora: {r: 4}"
CONFIGS = {
    "4 bit": "{name: BitsAndBytesConfig, load_in_4bit: true, bnb_4bit_quant_type: nf4}",
    "8 bit": "{name: TorchAoConfig, quant_type: {name: Int8WeightOnlyConfig}}",
}


@pytest.fixture(scope="module")
def wide_llama(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    """A Llama whose layers are whole blocks of 64 values, as the CPU kernels of bitsandbytes need."""
    folder = tmp_path_factory.mktemp("wide-llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = LLAVA_TURNS
    tokenizer.save_pretrained(folder)
    config = transformers.AutoConfig.from_pretrained(tiny_llama, hidden_size=64, intermediate_size=128)
    config.head_dim = 32
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def write(tmp_path: Path, wide_llama: Path) -> Callable[..., str]:
    def write_recipe(config: str = CONFIGS["4 bit"], checkpoint: Path = wide_llama) -> str:
        path = tmp_path / "quantized.yaml"
        path.write_text(RECIPE.format(checkpoint=checkpoint, config=config, settings=SETTINGS))
        return str(path)

    return write_recipe


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_adapter_is_merged_into_the_weights_that_were_not_quantized(
    write: Callable[..., str],
    wide_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: str,
) -> None:
    trained: list[Any] = []
    set_trainable = trainable.set_trainable

    def record(model: Any, *arguments: Any) -> Any:
        trained.append(set_trainable(model, *arguments))
        return trained[-1]

    monkeypatch.setattr(trainable, "set_trainable", record)
    run = run_recipe(load_recipe(write(config)), tmp_path / "run", resume=False, report=lambda step, text: None)
    assert [frozen.has_quantized_weights(model) for model in trained] == [True, True]
    saved, _ = load_saved(str(run.model))
    assert not hasattr(saved.config, "quantization_config")
    before = transformers.AutoModelForCausalLM.from_pretrained(wide_llama).state_dict()
    # Low rank: the difference from the weights before quantization is that of two adapters of rank 4.
    name = "model.layers.0.self_attn.q_proj.weight"
    difference = saved.state_dict()[name] - before[name]
    singular_values = torch.linalg.svdvals(difference)
    assert singular_values[0] > 1e-3
    assert singular_values[8] < 1e-3 * singular_values[0]
    assert torch.equal(saved.state_dict()["model.embed_tokens.weight"], before["model.embed_tokens.weight"])
    assert run.read_results()["verified"]["predictions"] == 4
    assert "adapters were trained on quantized weights" in (run.model / "README.md").read_text()


def test_four_bit_weights_are_counted_as_the_parameters_they_hold(write: Callable[..., str], wide_llama: Path) -> None:
    plan = resolve_plan(load_recipe(write()))
    counts = [
        sum(row.parameters for row in trainable.parameter_table(plan.model.load({}, quantize=quantize)[0]))  # type: ignore[arg-type]
        for quantize in (False, True)
    ]
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{name: GPTQConfig, bits: 4}", r"model\.load\.quantization_config: .* or TorchAoConfig quantizes, not 'GPTQC"),
        ("nf4", r"give the `name` of a config class and its arguments"),
        ("{name: BitsAndBytesConfig, load_in_4bits: true}", r"has no 'load_in_4bits'\. Did you mean 'load_in_4bit'\?"),
        ("{name: TorchAoConfig, quant_type: {name: Int8Config}}", r"quant_type: torchao\.quantization has no 'Int8Con"),
        ("{name: TorchAoConfig, quant_type: 3}", r"TorchAoConfig does not take these arguments"),
    ],
)
def test_a_config_that_cannot_be_made_is_refused(write: Callable[..., str], config: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_plan(load_recipe(write(config)))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hfmm.models.common.quantization.find_spec", lambda name: None)
    with pytest.raises(UserError, match="which is not installed: pip install bitsandbytes"):
        make_quantization_config({"name": "BitsAndBytesConfig"})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.first.trainable=all", r"stage first trains them\. Set stages\.first\.trainable=lora"),
        ("model.init=random", r"with init: random no weights are loaded"),
    ],
)
def test_what_cannot_train_on_quantized_weights_is_refused(
    write: Callable[..., str], override: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        resolve_plan(load_recipe(write(), [override]))


def test_a_family_with_a_new_head_is_refused(tiny_vit: Path, write_recipe: Callable[..., Path]) -> None:
    stages = [f"stages.{name}.trainable=lora" for name in ("head", "full")]
    load = f"model.load={{quantization_config: {CONFIGS['8 bit']}}}"
    plan = resolve_plan(load_recipe(str(write_recipe()), [*stages, load]))
    with pytest.raises(UserError, match=r"trains modules that must not be quantized, such as a new head"):
        plan.model.load_processor()


def test_a_layer_that_the_cpu_cannot_multiply_is_named(write: Callable[..., str], tiny_llama: Path) -> None:
    plan = resolve_plan(load_recipe(write(checkpoint=tiny_llama)))
    with pytest.raises(UserError, match=r"multiple of 64, and model\.layers\.0\.self_attn\.q_proj of .* takes 16"):
        plan.model.load({}, quantize=True)  # type: ignore[arg-type]


def test_attn_implementation_reaches_every_stage(
    write_recipe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    implementations: list[str] = []
    make_task = Plan.make_task

    def record(plan: Plan, model: Any, processor: Any) -> Any:
        implementations.append(model.config._attn_implementation)
        return make_task(plan, model, processor)

    monkeypatch.setattr(Plan, "make_task", record)
    recipe = load_recipe(str(write_recipe()), ["model.load={attn_implementation: eager}", "baselines=[]"])
    run = run_recipe(recipe, tmp_path / "run", resume=False, report=lambda step, text: None)
    assert implementations[:2] == ["eager", "eager"]
    assert json.loads((run.model / "config.json").read_text())["model_type"] == "vit"
    plan, _ = open_run(run.root)
    assert plan.recipe.model.load == {"attn_implementation": "eager"}
