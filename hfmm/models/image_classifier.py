"""The ViT family: whatever AutoModelForImageClassification loads (ViT, DeiT, DINOv2, Swin, ConvNeXt, ...)."""

from __future__ import annotations

import math
from typing import Any

from datasets import Features

from hfmm.data.common.labels import is_multi_attribute, label_indices_by_attribute, label_names
from hfmm.models.common.checkpoint import check_missing_keys, load_pretrained, load_weights
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.lora_targets import find_linear_modules
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

TOWER = "vision_model"  # what CLIP's and SigLIP's classifiers call theirs; others call it by the model's own prefix
UNREAD = {  # what only the pooled output passes through, which these classifiers do not read
    "clip": f"{TOWER}.post_layernorm.",
    "metaclip_2": f"{TOWER}.post_layernorm.",
    "siglip": f"{TOWER}.head.",
    "siglip2": f"{TOWER}.head.",
}


class ImageClassifierOptions(StrictModel):
    """This family has no options of its own."""


class ImageClassifier(ModelFamily):
    """Image classifiers: ViT, DeiT, DINOv2, Swin, ConvNeXt and whatever else `AutoModelForImageClassification` loads."""

    Options = ImageClassifierOptions

    def supported_model_types(self, auto_class: str) -> set[str]:
        """Return the model types that this family loads under an Auto class."""
        if auto_class != "AutoModelForImageClassification":
            return set()
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

        return set(MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)

    def load_processor(
        self, source: str, model_options: Model, config: Any, options: ImageClassifierOptions
    ) -> tuple[Any, Any]:
        """Return the checkpoint's config and image processor; raises UserError when it has none."""
        from transformers import AutoImageProcessor

        return config, load_pretrained(AutoImageProcessor, source, model_options)

    def load(
        self,
        source: str,
        model_options: Model,
        config: Any,
        options: ImageClassifierOptions,
        features: Features,
        auto_class: str,
    ) -> tuple[Any, Any]:
        """Return the model with a head for the labels of ``features``, and its image processor.

        A row with several attributes becomes transformers' own multi-label head. A head for the same labels is kept,
        each label with its own row. Raises UserError when the checkpoint lacks more than the head.
        """
        import transformers

        names = label_names(features)
        known = [config.id2label[index] for index in sorted(config.id2label)]
        config.id2label = dict(enumerate(names))
        config.label2id = {name: index for index, name in enumerate(names)}
        config.problem_type = (
            "multi_label_classification" if is_multi_attribute(features) else "single_label_classification"
        )
        auto = getattr(transformers, auto_class)
        _, image_processor = self.load_processor(source, model_options, config, options)
        if model_options.init == "random":
            model = auto.from_config(config, dtype="float32")
            _init_head_bias(model, names)
            return model, image_processor
        model, info = load_weights(auto, source, model_options, config=config, ignore_mismatched_sizes=True)
        _check_only_the_head_is_new(model, info, model_options)
        if info["missing_keys"] or info["mismatched_keys"]:
            _init_head_bias(model, names)
        elif sorted(known) == sorted(names):
            _permute_head(model, [known.index(name) for name in names])
        else:
            _reinit_head(model, names)
        return model, image_processor

    def modules_to_save(self, model: Any) -> list[str]:
        """Return the names of the modules that a new label set makes anew: the children beside the encoder.

        Where no child is the encoder, as in HGNet and PP-LCNet, it is the last one that has parameters.
        """
        children = [name for name, _ in model.named_children()]
        beside = [name for name in children if name not in (model.base_model_prefix, TOWER)]
        if beside != children:
            return beside
        return [name for name, child in model.named_children() if any(True for _ in child.parameters())][-1:]

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules of the encoder."""
        return find_linear_modules(model, getattr(model, TOWER, model.base_model))

    def unused_parameters(self, model: Any) -> set[str]:
        """Return the names of the parameters that no logit depends on, so that nothing would train them."""
        part = UNREAD.get(model.config.model_type)
        return {name for name, _ in model.named_parameters() if part and name.startswith(part)}


def _output_layers(model: Any, count: int) -> list[Any]:
    """Return the layers of the head that give each of ``count`` labels its logit; a distilled model has two."""
    parts = [part for name in FAMILY.modules_to_save(model) for part in model.get_submodule(name).modules()]
    return [part for part in parts if getattr(part, "out_features", None) == count]


def _permute_head(model: Any, order: list[int]) -> None:
    """Put the rows of the head in the order of the labels, given the row that each label has now."""
    for layer in _output_layers(model, len(order)):
        for parameter in layer.parameters():
            parameter.data = parameter.data[order]


def _reinit_head(model: Any, names: list[str]) -> None:
    """Draw anew a head that has learnt as many other labels, as the library draws one of another size."""
    from torch import nn

    for layer in _output_layers(model, len(names)):
        # The library leaves a layer that it has loaded as it is, so a new one is drawn.
        fresh = nn.Linear(layer.in_features, len(names), bias=layer.bias is not None)
        model._init_weights(fresh)
        layer.load_state_dict(fresh.state_dict())
    _init_head_bias(model, names)


def _init_head_bias(model: Any, names: list[str]) -> None:
    """Set the bias of a new multi-label head so that each value of an attribute starts equally likely.

    From a bias of zero every label starts at one half, and the first hundreds of steps do nothing but
    push them down (Lin et al. 2017, arXiv:1708.02002, section 4.1).
    """
    for attribute, positions in label_indices_by_attribute(names).items():
        if attribute and len(positions) > 1:
            for name in FAMILY.modules_to_save(model):
                layer = model.get_submodule(name)
                if getattr(layer, "bias", None) is not None and len(layer.bias) == len(names):
                    layer.bias.data[positions] = -math.log(len(positions) - 1)


def _check_only_the_head_is_new(model: Any, info: dict[str, Any], model_options: Model) -> None:
    new = {key for key in info["missing_keys"]} | {key[0] for key in info["mismatched_keys"]}
    check_missing_keys(
        (key for key in new if key.split(".")[0] not in FAMILY.modules_to_save(model)), model, model_options
    )


FAMILY = ImageClassifier()
