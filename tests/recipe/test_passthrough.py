from __future__ import annotations

from pathlib import Path

import pytest

from hfmm.errors import UserError
from hfmm.plan import resolve_plan
from hfmm.recipe.load import load_recipe
from hfmm.training.arguments import training_arguments


def test_training_arguments_reach_the_trainer(tmp_path: Path) -> None:
    recipe = load_recipe("vit_icons", ["stages.full.training_arguments={optim: adafactor, max_grad_norm: 0.5}"])
    resolve_plan(recipe)
    head, full = (training_arguments(recipe, index, tmp_path, 100, True, False, 1) for index in (0, 1))
    assert (full.optim, full.max_grad_norm) == ("adafactor", 0.5)
    assert (head.optim, head.max_grad_norm) == ("adamw_torch_fused", 1.0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("stages.full.training_arguments.optm=sgd", r"training_arguments\.optm: the installed .* mean 'optim'\?"),
        ("stages.full.training_arguments.seed=1", r"training_arguments\.seed: hfmm sets this field .* set seed of"),
        ("stages.full.lora.use_dra=true", r"lora\.use_dra: the installed LoraConfig has no .* mean 'use_dora'\?"),
        ("stages.full.lora.task_type=X", r"lora\.task_type: hfmm sets this field of LoraConfig"),
        ("model.load.atn_implementation=sdpa", r"model\.load\.atn_implementation: .* mean 'attn_implementation'\?"),
        ("model.load.trust_remote_code=true", r"model\.load\.trust_remote_code: .* never runs code of a checkpoint"),
    ],
)
def test_an_unknown_or_owned_field_is_refused_with_its_location(override: str, message: str) -> None:
    with pytest.raises(UserError, match=rf"^--set {override.split('=')[0]}.*: .*{message}|{message}"):
        resolve_plan(load_recipe("vit_icons", [override]))


def test_lora_takes_any_field_of_the_installed_class() -> None:
    plan = resolve_plan(load_recipe("vit_icons", ["stages.full.trainable=lora", "stages.full.lora={use_dora: true}"]))
    assert plan.recipe.stages[1].lora.options == {"use_dora": True}
