"""The family of image classifiers: every model that `AutoModelForImageClassification` loads."""

from __future__ import annotations

import math
from typing import Any

from datasets import Features

from hfmm.data.common.labels import is_multi_attribute, label_indices_by_attribute, label_names
from hfmm.models.common.checkpoint import check_missing_keys, load_pretrained, load_with_new_head
from hfmm.models.common.classification_head import fit_trained_head, set_labels
from hfmm.models.common.family import ModelFamily
from hfmm.models.common.lora_targets import find_linear_modules
from hfmm.recipe.schema import Model
from hfmm.recipe.validation import StrictModel

TOWER = "vision_model"  # the encoder in the classifiers of CLIP and SigLIP; in others it has the base model prefix
UNREAD = {  # modules of the pooled output, which these classifiers do not read
    "clip": f"{TOWER}.post_layernorm.",
    "metaclip_2": f"{TOWER}.post_layernorm.",
    "siglip": f"{TOWER}.head.",
    "siglip2": f"{TOWER}.head.",
}


class ImageClassifierOptions(StrictModel):
    """This family has no options of its own."""


class ImageClassifier(ModelFamily):
    """Image classifiers: ViT, DeiT, DINOv2, Swin, ConvNeXt and others."""

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
        """Return the config and the image processor of a checkpoint; raises UserError if it could not be loaded."""
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
        """Return the model in fp32 with a head for the labels of ``features``, and its image processor.

        Labels with several attributes get a multi-label head. A head that was trained for the same labels is kept, with
        its rows in the new order. Raises UserError if the checkpoint lacks more than the head.
        """
        import transformers

        names = label_names(features)
        checkpoint_names = set_labels(config, names)
        config.problem_type = (
            "multi_label_classification" if is_multi_attribute(features) else "single_label_classification"
        )
        model_class = getattr(transformers, auto_class)
        _, image_processor = self.load_processor(source, model_options, config, options)
        if model_options.init == "random":
            model = model_class.from_config(config, dtype="float32")
            _init_head_bias(model, names)
            return model, image_processor
        model, missing = load_with_new_head(model_class, source, model_options, config)
        heads = self.modules_to_save(model)
        check_missing_keys((key for key in missing if key.split(".")[0] not in heads), model, model_options)
        if missing or not fit_trained_head(model, heads, checkpoint_names, names):
            _init_head_bias(model, names)
        return model, image_processor

    def modules_to_save(self, model: Any) -> list[str]:
        """Return the names of the modules of the head, which new labels replace: the children besides the encoder.

        If no child is the encoder, as in HGNet and PP-LCNet, it is the last child with parameters.
        """
        children = [name for name, _ in model.named_children()]
        head = [name for name in children if name not in (model.base_model_prefix, TOWER)]
        if head != children:
            return head
        return [name for name, child in model.named_children() if any(True for _ in child.parameters())][-1:]

    def target_modules(self, model: Any) -> list[str]:
        """Return the names of all linear modules of the encoder."""
        return find_linear_modules(model, getattr(model, TOWER, model.base_model))

    def unused_parameters(self, model: Any) -> set[str]:
        """Return the names of the parameters that no logit depends on."""
        prefix = UNREAD.get(model.config.model_type)
        return {name for name, _ in model.named_parameters() if prefix and name.startswith(prefix)}


def _init_head_bias(model: Any, names: list[str]) -> None:
    """Initialize the bias of a multi-label head so that each of the n values of an attribute has probability 1/n.

    With a bias of zero every label starts at one half, and the first hundreds of steps only lower the probabilities
    (Lin et al. 2017, arXiv:1708.02002, section 4.1).
    """
    for attribute, indices in label_indices_by_attribute(names).items():
        if attribute and len(indices) > 1:
            for name in FAMILY.modules_to_save(model):
                layer = model.get_submodule(name)
                if getattr(layer, "bias", None) is not None and len(layer.bias) == len(names):
                    layer.bias.data[indices] = -math.log(len(indices) - 1)


FAMILY = ImageClassifier()
