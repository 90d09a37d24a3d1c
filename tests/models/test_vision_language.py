import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from datasets import Features
from PIL import Image
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers import models as tokenizer_models

from hfmm.errors import UserError
from hfmm.models import vision_language
from hfmm.models.common.llava_assembly import check_image_token_count
from hfmm.recipe.schema import Model, Recipe
from hfmm.training import trainable
from tests.loading import load_model, load_processor

LAYERS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VISION = LAYERS | {"image_size": 32, "patch_size": 8}  # 4 x 4 patches
DINO = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 2, "patch_size": 8}
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
SIZE = len(LETTERS) + len(SPECIAL)
IDS = {"bos_token_id": SIZE - 3, "eos_token_id": SIZE - 2, "pad_token_id": SIZE - 1}
TEXT = LAYERS | IDS | {"vocab_size": SIZE, "max_position_embeddings": 128}
LLAMA = TEXT | {"num_key_value_heads": 2}
GPT2 = {"vocab_size": SIZE, "n_positions": 128, "n_embd": 16, "n_layer": 2, "n_head": 2} | IDS
CHAT = "{% for m in messages %}{{ '[' + m['role'] + '] ' + m['content'] + '</s>\n' }}{% endfor %}"

TOWERS: dict[str, Callable[[], Any]] = {
    "clip": lambda: transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=LAYERS | {"vocab_size": 9, "eos_token_id": 2}, vision_config=VISION, projection_dim=16
        )
    ),
    "siglip": lambda: transformers.SiglipModel(
        transformers.SiglipConfig(text_config=LAYERS | {"vocab_size": 9}, vision_config=VISION)
    ),
    "clip_vision_model": lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**VISION)),
    "vit": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**VISION)),
    "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**DINO, image_size=56)),
    "dinov2_with_registers": lambda: transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(**DINO, image_size=32)
    ),
    "vision-text-dual-encoder": lambda: transformers.VisionTextDualEncoderModel(
        transformers.VisionTextDualEncoderConfig.from_vision_text_configs(
            transformers.ViTConfig(**VISION), transformers.BertConfig(**LAYERS, vocab_size=9)
        )
    ),
}
LANGUAGE_MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**LLAMA),
    "llama-tied": lambda: transformers.LlamaConfig(**LLAMA, tie_word_embeddings=True),
    "qwen2": lambda: transformers.Qwen2Config(**LLAMA | {"vocab_size": 300}, tie_word_embeddings=True),
    "qwen3": lambda: transformers.Qwen3Config(**LLAMA, head_dim=8),
    "gemma": lambda: transformers.GemmaConfig(**LLAMA, head_dim=8),
    "gemma3": lambda: transformers.Gemma3TextConfig(**LLAMA, head_dim=8),
    "smollm3": lambda: transformers.SmolLM3Config(**LLAMA),
    "gpt2": lambda: transformers.GPT2Config(**GPT2),
}
UNSUPPORTED: dict[str, Callable[[], Any]] = {
    "granite": lambda: transformers.GraniteConfig(**LLAMA, logits_scaling=8.0),
    "cohere": lambda: transformers.CohereConfig(**LLAMA),
    "gemma2": lambda: transformers.Gemma2Config(**LLAMA, head_dim=8, initializer_range=0.5),
}
PAIRS = [(tower, "llama") for tower in TOWERS] + [
    ("siglip", language) for language in LANGUAGE_MODELS if language != "llama"
]
PIXEL_SHUFFLE_PAIRS = [("clip", "gemma3"), ("siglip", "llama"), ("vit", "qwen2"), ("dinov2", "gpt2")]
CASES = [(*pair, "mlp") for pair in PAIRS] + [(*pair, "pixel_shuffle") for pair in PIXEL_SHUFFLE_PAIRS]
EACH_PAIR = pytest.mark.parametrize(("tower", "language", "connector"), CASES)


def tokenizer(add_bos: bool = True, **special_tokens: Any) -> Any:
    """Return a tokenizer of single bytes that optionally starts a text with <s>."""
    backend = Tokenizer(tokenizer_models.BPE({name: index for index, name in enumerate(LETTERS)}, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL | special_tokens)
    if add_bos:
        fast._tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", IDS["bos_token_id"])]
        )
    return fast


@pytest.fixture(scope="module")
def tower_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny vision checkpoint by name, for images of 32 x 32 pixels."""

    @cache
    def make(name: str) -> Path:
        torch.manual_seed(1)
        folder = tmp_path_factory.mktemp(name)
        TOWERS[name]().save_pretrained(folder)
        size = {"height": 32, "width": 32}
        transformers.ViTImageProcessor(size=size).save_pretrained(folder)
        return folder

    return make


@pytest.fixture(scope="module")
def language_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a tiny base language model by name."""

    @cache
    def make(name: str) -> Path:
        return _save_language_model(tmp_path_factory.mktemp(name), (LANGUAGE_MODELS | UNSUPPORTED)[name](), tokenizer())

    return make


def _save_language_model(folder: Path, config: Any, tokenizer: Any) -> Path:
    torch.manual_seed(2)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def recipe(checkpoint: Path | str, *overrides: str) -> Recipe:
    model = {"checkpoint": str(checkpoint)}
    stage = {
        "name": "align",
        "trainable": ["model.multi_modal_projector"],
        "num_train_epochs": 1,
        "learning_rate": 1e-3,
    }
    base = Recipe(name="x", task="x", data={"builder": "x"}, model=model, stages=[stage], metrics=["x"])
    options: dict[str, Any] = dict(override.split("=", 1) for override in overrides)
    return base.model_copy(update={"model": Model(**model | options)})


def load(checkpoint: Path | str, *overrides: str) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_model(recipe(checkpoint, *overrides), Features(), vision_language.AUTO_CLASS)


@pytest.fixture(scope="module")
def fused(tower_at: Callable[[str], Path], language_at: Callable[[str], Path]) -> Callable[..., tuple[Any, Any]]:
    """Return a fused model and its processor, which are cached. Tests must not change them."""

    @cache
    def make(vision: str, language: str, connector: str = "mlp") -> tuple[Any, Any]:
        return load(tower_at(vision), f"language_model={language_at(language)}", f"connector={connector}")

    return make


def question(text: str = "Who?", answer: str | None = None) -> list[dict[str, Any]]:
    user = {"role": "user", "content": [{"type": "image", "image": gradient_image()}, {"type": "text", "text": text}]}
    return [user] if answer is None else [user, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]


def gradient_image() -> Image.Image:
    return Image.radial_gradient("L").convert("RGB")


def inputs(processor: Any) -> Any:
    return processor.apply_chat_template(
        question(), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**batch).logits


@EACH_PAIR
def test_fused_model_is_native_with_one_image_token_per_feature(
    fused: Callable[..., tuple[Any, Any]], tower: str, language: str, connector: str
) -> None:
    model, processor = fused(tower, language, connector)
    model_class = {
        "mlp": transformers.LlavaForConditionalGeneration,
        "pixel_shuffle": transformers.AyaVisionForConditionalGeneration,
    }
    assert type(model) is model_class[connector] and type(processor) is transformers.LlavaProcessor
    batch = inputs(processor)
    num_tokens = int((batch["input_ids"] == model.config.image_token_id).sum())
    features = model.get_image_features(batch["pixel_values"]).pooler_output
    registers = 4 if tower == "dinov2_with_registers" else 0
    assert (
        num_tokens
        == sum(len(image_features) for image_features in features)
        == (4 if connector == "pixel_shuffle" else 16 + registers)
    )


@EACH_PAIR
def test_text_logits_equal_those_of_the_language_model(
    fused: Callable[..., tuple[Any, Any]],
    language_at: Callable[[str], Path],
    tower: str,
    language: str,
    connector: str,
) -> None:
    model, processor = fused(tower, language, connector)
    language_model = transformers.AutoModelForCausalLM.from_pretrained(language_at(language))
    batch = processor.tokenizer(["What he has written."], return_tensors="pt")
    fused_logits, expected = logits(model, batch), logits(language_model, batch)
    torch.testing.assert_close(fused_logits[..., : expected.shape[-1]], expected)
    assert expected.std() > 0.01


@EACH_PAIR
def test_saved_model_loads_in_transformers_with_equal_logits(
    fused: Callable[..., tuple[Any, Any]], tmp_path: Path, tower: str, language: str, connector: str
) -> None:
    model, processor = fused(tower, language, connector)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path)
    batch = inputs(transformers.AutoProcessor.from_pretrained(tmp_path))
    assert {key: value.tolist() for key, value in batch.items()} == {
        key: value.tolist() for key, value in inputs(processor).items()
    }
    torch.testing.assert_close(logits(loaded, batch), logits(model, batch), rtol=0, atol=0)
    config = (tmp_path / "config.json").read_text()
    assert not json.loads(config).get("auto_map")
    assert '"_name_or_path": "/' not in config


def test_image_changes_the_logits(fused: Callable[..., tuple[Any, Any]]) -> None:
    for _, language, connector in CASES[-6:]:
        model, processor = fused("siglip", language, connector)
        batch = inputs(processor)
        negative = batch | {"pixel_values": -batch["pixel_values"]}
        assert (logits(model, batch) - logits(model, negative)).abs().max() > 1e-4


def test_pipeline_loads_the_saved_model(fused: Callable[..., tuple[Any, Any]], tmp_path: Path) -> None:
    model, processor = fused("clip", "llama")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    pipe = transformers.pipeline("image-text-to-text", model=str(tmp_path))
    output = pipe(text=question(), max_new_tokens=4, return_full_text=False)[0]["generated_text"]
    expected = model.generate(**inputs(processor), max_new_tokens=4)[0, -4:]
    assert output == processor.decode(expected, skip_special_tokens=True)


def test_feature_layer_is_the_second_to_last_with_a_class_token(
    fused: Callable[..., tuple[Any, Any]],
) -> None:
    configs = {tower: fused(tower, "llama")[0].config for tower in TOWERS}
    choices = {
        tower: (config.vision_feature_layer, config.vision_feature_select_strategy) for tower, config in configs.items()
    }
    assert choices.pop("siglip") == (-1, "full")
    assert set(choices.values()) == {(-2, "default")}


def test_feature_layer_option_and_error_for_a_missing_layer(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    vision, language = tower_at("clip"), f"language_model={language_at('llama')}"
    assert load(vision, language, "vision_feature_layer=1")[0].config.vision_feature_layer == 1
    for layer in ("3", "-3", "0"):
        with pytest.raises(
            UserError, match=rf"model\.vision_feature_layer: .* has no layer {layer}\. It has 2 layers:"
        ):
            load(vision, language, f"vision_feature_layer={layer}")


def test_embeddings_stay_tied_if_the_native_classes_support_it(fused: Callable[..., tuple[Any, Any]]) -> None:
    tied = {}
    for language in LANGUAGE_MODELS:
        model, _ = fused("siglip", language)
        tied[language] = model.lm_head.weight is model.get_input_embeddings().weight
        assert tied[language] == model.config.tie_word_embeddings
    assert [name for name, is_tied in tied.items() if is_tied] == ["llama-tied", "qwen2", "gemma", "gemma3", "smollm3"]


def test_embedding_grows_to_a_multiple_of_64_for_the_image_token(
    fused: Callable[..., tuple[Any, Any]],
) -> None:
    model, processor = fused("siglip", "llama")
    assert model.config.image_token_id == processor.tokenizer.convert_tokens_to_ids("<image>") == SIZE
    assert model.config.text_config.vocab_size == 320
    scores = logits(model, inputs(processor))
    assert (scores[..., SIZE:].amax(-1) < scores[..., :SIZE].amax(-1)).all()
    assert fused("siglip", "qwen2")[0].config.text_config.vocab_size == 300  # it already had room


def test_base_model_gets_a_chat_template_with_a_warning(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    with pytest.warns(UserWarning, match=r"model\.language_model: .* has no chat template, so a default one is used"):
        _, processor = load_processor(
            recipe(tower_at("clip"), f"language_model={language_at('llama')}"), vision_language.AUTO_CLASS
        )
    text = processor.apply_chat_template(question("Who?", "He.") + question("And now?"), add_generation_prompt=True)
    assert text == "<s>USER: <image>\nWho?\nASSISTANT: He.</s>\nUSER: <image>\nAnd now?\nASSISTANT:"
    ids = inputs(processor)["input_ids"][0].tolist()
    assert ids.count(IDS["bos_token_id"]) == 1 and ids[0] == IDS["bos_token_id"]


def test_loading_weights_does_not_warn_again(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    fused_recipe = recipe(tower_at("clip"), f"language_model={language_at('llama')}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(fused_recipe, Features(), vision_language.AUTO_CLASS)


def test_default_template_has_a_bos_token_only_if_the_tokenizer_adds_one(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = _save_language_model(tmp_path, LANGUAGE_MODELS["llama"](), tokenizer(add_bos=False))
    _, processor = load(tower_at("clip"), f"language_model={folder}")
    assert processor.apply_chat_template(question()) == "USER: <image>\nWho?\n"


def test_chat_template_of_a_chat_model_gets_image_support(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    chat_tokenizer = tokenizer()
    chat_tokenizer.chat_template = CHAT
    folder = _save_language_model(tmp_path, LANGUAGE_MODELS["llama"](), chat_tokenizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, processor = load_processor(recipe(tower_at("clip"), f"language_model={folder}"), vision_language.AUTO_CLASS)
    assert processor.apply_chat_template(question("Who?", "He.")) == "[user] <image>\nWho?</s>\n[assistant] He.</s>\n"
    text_chat = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "He."}]
    assert processor.apply_chat_template(text_chat) == chat_tokenizer.apply_chat_template(text_chat, tokenize=False)


def test_reasoning_is_disabled(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    chat_tokenizer = tokenizer()
    chat_tokenizer.chat_template = CHAT + (
        "{% if add_generation_prompt %}[assistant] {% if enable_thinking is defined and enable_thinking is false %}"
        "<think></think>{% endif %}{% endif %}"
    )
    folder = _save_language_model(tmp_path, LANGUAGE_MODELS["llama"](), chat_tokenizer)
    _, processor = load_processor(recipe(tower_at("clip"), f"language_model={folder}"), vision_language.AUTO_CLASS)
    text = processor.apply_chat_template(question(), add_generation_prompt=True)
    assert text == "[user] <image>\nWho?</s>\n[assistant] <think></think>"


def test_template_with_a_date_and_without_end_is_changed_with_warnings(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    chat_tokenizer = tokenizer()
    chat_tokenizer.chat_template = "{{ strftime_now('%Y') + '\n' }}" + CHAT.replace("</s>", "")
    folder = _save_language_model(tmp_path, LANGUAGE_MODELS["llama"](), chat_tokenizer)
    fused_recipe = recipe(tower_at("clip"), f"language_model={folder}")
    with pytest.warns(
        UserWarning, match=r"model\.language_model: the chat template of .* (inserts|does not)"
    ) as record:
        _, processor = load_processor(fused_recipe, vision_language.AUTO_CLASS)
    assert len(record) == 2
    text = processor.apply_chat_template(question("Who?", "He."))
    assert text == "2024\n[user] <image>\nWho?\n[assistant] He.</s>\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(fused_recipe, Features(), vision_language.AUTO_CLASS)


def test_eos_tokens_include_the_end_token_of_the_chat_template(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    chat_tokenizer = tokenizer()
    chat_tokenizer.add_tokens(["<|im_end|>"], special_tokens=True)
    chat_tokenizer.chat_template = CHAT.replace("</s>", "<|im_end|>")
    folder = _save_language_model(tmp_path, LANGUAGE_MODELS["llama"](), chat_tokenizer)
    model, _ = load(tower_at("clip"), f"language_model={folder}")
    assert model.generation_config.eos_token_id == [IDS["eos_token_id"], SIZE]


def test_generation_is_greedy_with_the_eos_tokens_of_the_language_model(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = _save_language_model(tmp_path, LANGUAGE_MODELS["llama"](), tokenizer(pad_token=None))
    sampling = {"do_sample": True, "top_k": 7, "eos_token_id": [SIZE - 1, SIZE - 2]}
    (folder / "generation_config.json").write_text(json.dumps(sampling))
    model, processor = load(tower_at("clip"), f"language_model={folder}")
    config = model.generation_config
    assert (config.eos_token_id, config.pad_token_id) == ([SIZE - 2, SIZE - 1], IDS["eos_token_id"])
    assert not config.do_sample and config.top_k is None
    assert (processor.tokenizer.pad_token, processor.tokenizer.padding_side) == ("</s>", "left")


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_language_model_with_changed_logits_raises_error(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], name: str
) -> None:
    with pytest.raises(
        UserError, match=rf"model\.language_model: .* is a '{name}' model, which would have other logits inside"
    ):
        load(tower_at("clip"), f"language_model={language_at(name)}")


def test_language_model_with_a_head_bias_raises_error(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    model = transformers.PhiForCausalLM(transformers.PhiConfig(**LLAMA))
    torch.nn.init.normal_(model.lm_head.bias)
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="'phi' model, which would have other logits inside"):
        load(tower_at("clip"), f"language_model={tmp_path}")


def test_language_model_that_does_not_run_inside_llava_raises_error(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4, "vocab_size": SIZE}
    folder = _save_language_model(tmp_path, transformers.MambaConfig(**sizes), tokenizer())
    with pytest.raises(UserError, match="'mamba' model, which does not run inside a LLaVA model"):
        load(tower_at("clip"), f"language_model={folder}")


def test_layers_that_would_load_as_another_class_raise_error(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    sizes = {"d_model": 16, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32}
    folder = _save_language_model(tmp_path, transformers.BartConfig(**sizes, **IDS, vocab_size=SIZE), tokenizer())
    with pytest.raises(UserError, match=r"model\.language_model: its layers are a BartDecoderWrapper"):
        load(tower_at("clip"), f"language_model={folder}")


def test_tokenizer_with_an_image_token_raises_error(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    chat_tokenizer = tokenizer()
    chat_tokenizer.add_tokens(["<image>"])
    folder = _save_language_model(tmp_path, LANGUAGE_MODELS["qwen2"](), chat_tokenizer)
    with pytest.raises(UserError, match="already has a token <image>"):
        load(tower_at("clip"), f"language_model={folder}")


def test_tokenizer_without_an_eos_token_raises_error(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    folder = _save_language_model(tmp_path, LANGUAGE_MODELS["llama"](), tokenizer(eos_token=None))
    with pytest.raises(UserError, match="has no EOS token"):
        load(tower_at("clip"), f"language_model={folder}")


def test_too_many_image_tokens_raise_error_with_token_counts(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    config = transformers.LlamaConfig(**LLAMA | {"max_position_embeddings": 16})
    folder = _save_language_model(tmp_path, config, tokenizer())
    with pytest.raises(UserError, match=r"at most 16 tokens, but an image of .* takes 16 \(4 x 4 patches\)"):
        load(tower_at("clip"), f"language_model={folder}")
    assert load(tower_at("clip"), f"language_model={folder}", "connector=pixel_shuffle")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            lambda: transformers.SwinConfig(
                image_size=32, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4
            ),
            "'swin' model with features of shape",
        ),
        (
            lambda: transformers.ConvNextConfig(hidden_sizes=[8] * 4, depths=[1] * 4),
            "'convnext' model with features of shape",
        ),
        (
            lambda: transformers.ViTMAEConfig(**VISION),  # it masks most patches
            r"'vit_mae' model with features of shape \(5, 16\)",
        ),
        (lambda: transformers.Siglip2VisionConfig(**LAYERS, patch_size=8), "cannot be the vision tower of LLaVA"),
        (lambda: transformers.ViTConfig(**VISION | {"image_size": 64}), "cannot be the vision tower of LLaVA"),
    ],
)
def test_encoder_without_patch_features_raises_error(
    language_at: Callable[[str], Path], tmp_path: Path, config: Callable[[], Any], message: str
) -> None:
    config().save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=message):
        load(tmp_path, f"language_model={language_at('llama')}")


def test_images_of_different_shapes_raise_error(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], tmp_path: Path
) -> None:
    transformers.AutoConfig.from_pretrained(tower_at("clip")).save_pretrained(tmp_path)
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, do_center_crop=False).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="returns images of different shapes"):
        load(tmp_path, f"language_model={language_at('llama')}")


def test_pixel_shuffle_needs_an_even_square_without_registers(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], tmp_path: Path
) -> None:
    language = f"language_model={language_at('llama')}"
    with pytest.raises(UserError, match=r"model\.connector: .* has 4 x 4 patches and 4 registers"):
        load(tower_at("dinov2_with_registers"), language, "connector=pixel_shuffle")
    transformers.CLIPVisionConfig(**VISION | {"image_size": 24}).save_pretrained(tmp_path)
    transformers.CLIPImageProcessor(size={"shortest_edge": 24}, crop_size=24).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"has 3 x 3 patches\. Set it to mlp"):
        load(tmp_path, language, "connector=pixel_shuffle")


def test_unsuitable_checkpoints_raise_error_with_their_recipe_key(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], tiny_bert: Path, tmp_path: Path
) -> None:
    language = f"language_model={language_at('llama')}"
    for checkpoint, overrides, message in (
        (tiny_bert, [language], r"model\.checkpoint: .* is a 'bert' model, which does not fit this task"),
        (
            tower_at("vit"),
            [],
            r"model\.checkpoint: .* is a 'vit' model and has no language model.*--set model\.language_model=",
        ),
        (
            tower_at("vit"),
            [f"language_model={tower_at('vit')}"],
            r"model\.language_model: .* is a 'vit' model, not a supported language model",
        ),
        (tower_at("vit"), ["language_model=/nowhere"], r"model\.language_model: the folder /nowhere does not exist"),
        (
            tower_at("vit"),
            [f"language_model={tmp_path}"],
            r"model\.language_model: the folder .* is not a checkpoint: config\.json is missing",
        ),
        (
            tower_at("vit"),
            ["language_model=nobody/nothing"],
            r"model\.language_model: nobody/nothing could not be loaded",
        ),
    ):
        with pytest.raises(UserError, match=message):
            load(checkpoint, *overrides)


def test_language_model_with_missing_tensors_raises_error(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    for file in language_at("llama").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"model\.language_model: .* lacks 1 tensors that a LlamaForCausalLM needs"):
        load(tower_at("clip"), f"language_model={tmp_path}")


def test_random_weights_have_the_same_architecture(
    fused: Callable[..., tuple[Any, Any]], tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    model, _ = fused("clip", "gpt2", "pixel_shuffle")
    random_model, _ = load(
        tower_at("clip"), f"language_model={language_at('gpt2')}", "connector=pixel_shuffle", "init=random"
    )
    pretrained, random = model.state_dict(), random_model.state_dict()
    assert {name: weight.shape for name, weight in pretrained.items()} == {
        name: weight.shape for name, weight in random.items()
    }
    assert not torch.equal(pretrained["lm_head.weight"], random["lm_head.weight"])


def test_wrong_number_of_image_tokens_raises_error(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    model, processor = load(tower_at("clip"), f"language_model={language_at('llama')}")
    processor.patch_size = 16
    with pytest.raises(UserError, match="do not match the 4 image tokens"):
        check_image_token_count(model, processor, "clip")


@pytest.mark.parametrize("connector", ["mlp", "pixel_shuffle"])
def test_fused_model_can_be_the_checkpoint_of_another_run(
    fused: Callable[..., tuple[Any, Any]], language_at: Callable[[str], Path], tmp_path: Path, connector: str
) -> None:
    model, processor = fused("clip", "gemma3", connector)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, loaded_processor = load(tmp_path)
    torch.testing.assert_close(
        logits(loaded, inputs(loaded_processor)), logits(model, inputs(processor)), rtol=0, atol=0
    )
    with pytest.raises(UserError, match=r"model\.language_model: .* has its own language model\. Remove the key"):
        load(tmp_path, f"language_model={language_at('llama')}")


@pytest.fixture
def idefics3(tmp_path: Path) -> Path:
    """Save a tiny image-text model with the architecture of SmolVLM."""
    chat_tokenizer = tokenizer()
    tokens = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    chat_tokenizer.add_tokens(tokens, special_tokens=True)
    vision = LAYERS | {"image_size": 32, "patch_size": 8}
    config = transformers.Idefics3Config(
        vision_config=vision, text_config=LLAMA | {"model_type": "llama", "vocab_size": len(chat_tokenizer)},
        scale_factor=2, image_token_id=SIZE, pad_token_id=IDS["pad_token_id"],
    )  # fmt: skip
    transformers.Idefics3ForConditionalGeneration(config).save_pretrained(tmp_path)
    edge = {"longest_edge": 32}
    image_processor = transformers.Idefics3ImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    transformers.Idefics3Processor(image_processor, chat_tokenizer, image_seq_len=4).save_pretrained(tmp_path)
    return tmp_path


def test_image_text_model_has_lora_targets_in_its_language_model_only(idefics3: Path) -> None:
    model, processor = load(idefics3)
    assert type(model) is transformers.Idefics3ForConditionalGeneration
    batch = processor(images=[gradient_image()], text=["<image>Who?"], return_tensors="pt")
    assert logits(model, batch).isfinite().all()
    assert vision_language.FAMILY.modules_to_save(model) == ["model.connector"]
    assert {name.split(".layers")[0] for name in vision_language.FAMILY.target_modules(model)} == {"model.text_model"}


@pytest.mark.parametrize(("connector", "language"), [("mlp", "llama"), ("pixel_shuffle", "gemma3"), ("mlp", "gpt2")])
def test_lora_trains_the_language_model_and_the_projector(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], connector: str, language: str
) -> None:
    model, _ = load(tower_at("clip"), f"language_model={language_at(language)}", f"connector={connector}")
    modules_per_layer = {"llama": 7, "gemma3": 7, "gpt2": 4}[language]
    assert len(vision_language.FAMILY.target_modules(model)) == 2 * modules_per_layer
    stage = recipe(tower_at("clip")).stages[0].model_copy(update={"trainable": "lora"})
    adapted = trainable.set_trainable(model, stage, vision_language.FAMILY, [], "key")
    trained = {row.module for row in trainable.parameter_table(adapted) if row.trainable}
    assert trained == {"model.language_model", "model.multi_modal_projector"}


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("connector", ["mlp", "pixel_shuffle"])
def test_parameters_without_gradient_are_frozen(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], tower: str, connector: str
) -> None:
    if (tower, connector) == ("dinov2_with_registers", "pixel_shuffle"):
        return  # not supported
    model, processor = load(tower_at(tower), f"language_model={language_at('llama')}", f"connector={connector}")
    stage = recipe(tower_at(tower)).stages[0].model_copy(update={"trainable": "all"})
    trainable.set_trainable(model, stage, vision_language.FAMILY, [], "key")
    model(**inputs(processor)).logits.sum().backward()
    assert trainable.modules_without_gradient(model) == []
    assert {name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None} == set()
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen and all(name.startswith("model.vision_tower.") for name in frozen)


def test_stage_trains_only_the_projector(tower_at: Callable[[str], Path], language_at: Callable[[str], Path]) -> None:
    model, processor = load(tower_at("clip"), f"language_model={language_at('llama')}")
    trainable.set_trainable(model, recipe(tower_at("clip")).stages[0], vision_language.FAMILY, [], "key")
    model(**inputs(processor)).logits.sum().backward()
    assert {name.split(".")[1] for name, weight in model.named_parameters() if weight.grad is not None} == {
        "multi_modal_projector"
    }
    assert trainable.modules_without_gradient(model) == []
