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
LANGUAGES: dict[str, Callable[[], Any]] = {
    "llama": lambda: transformers.LlamaConfig(**LLAMA),
    "llama-tied": lambda: transformers.LlamaConfig(**LLAMA, tie_word_embeddings=True),
    "qwen2": lambda: transformers.Qwen2Config(**LLAMA | {"vocab_size": 300}, tie_word_embeddings=True),
    "qwen3": lambda: transformers.Qwen3Config(**LLAMA, head_dim=8),
    "gemma": lambda: transformers.GemmaConfig(**LLAMA, head_dim=8),
    "gemma3": lambda: transformers.Gemma3TextConfig(**LLAMA, head_dim=8),
    "smollm3": lambda: transformers.SmolLM3Config(**LLAMA),
    "gpt2": lambda: transformers.GPT2Config(**GPT2),
}
UNTRUE: dict[str, Callable[[], Any]] = {
    "granite": lambda: transformers.GraniteConfig(**LLAMA, logits_scaling=8.0),
    "cohere": lambda: transformers.CohereConfig(**LLAMA),
    "gemma2": lambda: transformers.Gemma2Config(**LLAMA, head_dim=8, initializer_range=0.5),
}
PAIRS = [(tower, "llama") for tower in TOWERS] + [("siglip", language) for language in LANGUAGES if language != "llama"]
POOLED = [("clip", "gemma3"), ("siglip", "llama"), ("vit", "qwen2"), ("dinov2", "gpt2")]
ALL = [(*pair, "mlp") for pair in PAIRS] + [(*pair, "pixel_shuffle") for pair in POOLED]
EACH_PAIR = pytest.mark.parametrize(("tower", "language", "connector"), ALL)


def tokenizer(begins: bool = True, **changes: Any) -> Any:
    """A tokenizer of single bytes, which puts <s> before a text where it `begins`."""
    bare = Tokenizer(tokenizer_models.BPE({name: index for index, name in enumerate(LETTERS)}, []))
    bare.pre_tokenizer, bare.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=bare, **SPECIAL | changes)
    if begins:
        fast._tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", IDS["bos_token_id"])]
        )
    return fast


@pytest.fixture(scope="module")
def tower_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a tiny vision checkpoint of a kind, for pictures of 32 x 32 pixels."""

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
    """A folder with a tiny base language model of a kind."""

    @cache
    def make(name: str) -> Path:
        return _language(tmp_path_factory.mktemp(name), (LANGUAGES | UNTRUE)[name](), tokenizer())

    return make


def _language(folder: Path, config: Any, tokenizer: Any) -> Path:
    torch.manual_seed(2)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def recipe(checkpoint: Path | str, *overrides: str) -> Recipe:
    values = {"checkpoint": str(checkpoint)}
    stage = {
        "name": "align",
        "trainable": ["model.multi_modal_projector"],
        "num_train_epochs": 1,
        "learning_rate": 1e-3,
    }
    spec = Recipe(name="x", task="x", data={"builder": "x"}, model=values, stages=[stage], metrics=["x"])
    more: dict[str, Any] = dict(one.split("=", 1) for one in overrides)
    if "feature_layer" in more:
        more["feature_layer"] = int(more["feature_layer"])
    return spec.model_copy(update={"model": Model(**values | more)})


def load(checkpoint: Path | str, *overrides: str) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_model(recipe(checkpoint, *overrides), Features(), vision_language.AUTO_CLASS)


@pytest.fixture(scope="module")
def fused(tower_at: Callable[[str], Path], language_at: Callable[[str], Path]) -> Callable[..., tuple[Any, Any]]:
    """A fused model and its processor, made once; tests must not change them."""

    @cache
    def make(vision: str, text: str, connector: str = "mlp") -> tuple[Any, Any]:
        return load(tower_at(vision), f"language_model={language_at(text)}", f"connector={connector}")

    return make


def question(text: str = "Who?", answer: str | None = None) -> list[dict[str, Any]]:
    asked = {"role": "user", "content": [{"type": "image", "image": picture()}, {"type": "text", "text": text}]}
    return [asked] if answer is None else [asked, {"role": "assistant", "content": [{"type": "text", "text": answer}]}]


def picture() -> Image.Image:
    return Image.radial_gradient("L").convert("RGB")


def inputs(processor: Any) -> Any:
    return processor.apply_chat_template(
        question(), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**batch).logits


@EACH_PAIR
def test_a_fused_model_is_native_and_has_a_place_in_the_text_for_each_feature(
    fused: Callable[..., tuple[Any, Any]], tower: str, language: str, connector: str
) -> None:
    model, processor = fused(tower, language, connector)
    kind = {
        "mlp": transformers.LlavaForConditionalGeneration,
        "pixel_shuffle": transformers.AyaVisionForConditionalGeneration,
    }
    assert type(model) is kind[connector] and type(processor) is transformers.LlavaProcessor
    batch = inputs(processor)
    places = int((batch["input_ids"] == model.config.image_token_id).sum())
    features = model.get_image_features(batch["pixel_values"]).pooler_output
    registers = 4 if tower == "dinov2_with_registers" else 0
    assert places == sum(len(one) for one in features) == (4 if connector == "pixel_shuffle" else 16 + registers)


@EACH_PAIR
def test_a_fused_model_speaks_as_its_language_model_where_there_is_no_picture(
    fused: Callable[..., tuple[Any, Any]],
    language_at: Callable[[str], Path],
    tower: str,
    language: str,
    connector: str,
) -> None:
    model, processor = fused(tower, language, connector)
    alone = transformers.AutoModelForCausalLM.from_pretrained(language_at(language))
    batch = processor.tokenizer(["What he has written."], return_tensors="pt")
    ours, theirs = logits(model, batch), logits(alone, batch)
    torch.testing.assert_close(ours[..., : theirs.shape[-1]], theirs)
    assert theirs.std() > 0.01


@EACH_PAIR
def test_a_fused_model_loads_again_in_plain_transformers_with_equal_logits(
    fused: Callable[..., tuple[Any, Any]], tmp_path: Path, tower: str, language: str, connector: str
) -> None:
    model, processor = fused(tower, language, connector)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = transformers.AutoModelForImageTextToText.from_pretrained(tmp_path)
    batch = inputs(transformers.AutoProcessor.from_pretrained(tmp_path))
    assert {key: value.tolist() for key, value in batch.items()} == {
        key: value.tolist() for key, value in inputs(processor).items()
    }
    torch.testing.assert_close(logits(again, batch), logits(model, batch), rtol=0, atol=0)
    written = (tmp_path / "config.json").read_text()
    assert not json.loads(written).get("auto_map")
    assert '"_name_or_path": "/' not in written


def test_what_is_seen_changes_what_is_said(fused: Callable[..., tuple[Any, Any]]) -> None:
    for _, language, connector in ALL[-6:]:
        model, processor = fused("siglip", language, connector)
        batch = inputs(processor)
        other = batch | {"pixel_values": -batch["pixel_values"]}
        assert (logits(model, batch) - logits(model, other)).abs().max() > 1e-4


def test_a_pipeline_takes_the_saved_folder_and_a_conversation(
    fused: Callable[..., tuple[Any, Any]], tmp_path: Path
) -> None:
    model, processor = fused("clip", "llama")
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    chat = transformers.pipeline("image-text-to-text", model=str(tmp_path))
    said = chat(text=question(), max_new_tokens=4, return_full_text=False)[0]["generated_text"]
    expected = model.generate(**inputs(processor), max_new_tokens=4)[0, -4:]
    assert said == processor.decode(expected, skip_special_tokens=True)


def test_the_layer_before_the_last_is_read_where_there_is_a_class_token_which_is_dropped(
    fused: Callable[..., tuple[Any, Any]],
) -> None:
    found = {tower: fused(tower, "llama")[0].config for tower in TOWERS}
    chosen = {name: (one.vision_feature_layer, one.vision_feature_select_strategy) for name, one in found.items()}
    assert chosen.pop("siglip") == (-1, "full")
    assert set(chosen.values()) == {(-2, "default")}


def test_a_recipe_chooses_the_feature_layer_and_one_that_does_not_exist_is_refused(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    vision, language = tower_at("clip"), f"language_model={language_at('llama')}"
    assert load(vision, language, "vision_feature_layer=1")[0].config.vision_feature_layer == 1
    for layer in ("3", "-3", "0"):
        with pytest.raises(UserError, match=rf"model\.vision_feature_layer: .* has no layer {layer}\. It has 2:"):
            load(vision, language, f"vision_feature_layer={layer}")


def test_embeddings_stay_tied_where_the_native_classes_can_tie_them(fused: Callable[..., tuple[Any, Any]]) -> None:
    tied = {}
    for language in LANGUAGES:
        model, _ = fused("siglip", language)
        tied[language] = model.lm_head.weight is model.get_input_embeddings().weight
        assert tied[language] == model.config.tie_word_embeddings
    assert [name for name, same in tied.items() if same] == ["llama-tied", "qwen2", "gemma", "gemma3", "smollm3"]


def test_an_embedding_without_room_for_the_image_token_grows_to_a_multiple_of_64_by_rows_that_are_never_the_likeliest(
    fused: Callable[..., tuple[Any, Any]],
) -> None:
    model, processor = fused("siglip", "llama")
    assert model.config.image_token_id == processor.tokenizer.convert_tokens_to_ids("<image>") == SIZE
    assert model.config.text_config.vocab_size == 320
    said = logits(model, inputs(processor))
    assert (said[..., SIZE:].amax(-1) < said[..., :SIZE].amax(-1)).all()
    assert fused("siglip", "qwen2")[0].config.text_config.vocab_size == 300  # it had room


def test_a_base_model_gets_a_chat_template_and_that_is_said(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    with pytest.warns(UserWarning, match=r"model\.language_model: .* has no chat template, so one is written"):
        _, processor = load_processor(
            recipe(tower_at("clip"), f"language_model={language_at('llama')}"), vision_language.AUTO_CLASS
        )
    text = processor.apply_chat_template(question("Who?", "He.") + question("And now?"), add_generation_prompt=True)
    assert text == "<s>USER: <image>\nWho?\nASSISTANT: He.</s>\nUSER: <image>\nAnd now?\nASSISTANT:"
    ids = inputs(processor)["input_ids"][0].tolist()
    assert ids.count(IDS["bos_token_id"]) == 1 and ids[0] == IDS["bos_token_id"]


def test_it_is_said_once_that_a_template_is_written_and_not_again_with_the_weights(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    spec = recipe(tower_at("clip"), f"language_model={language_at('llama')}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(spec, Features(), vision_language.AUTO_CLASS)


def test_a_written_chat_template_begins_as_the_tokenizer_does(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    folder = _language(tmp_path, LANGUAGES["llama"](), tokenizer(begins=False))
    _, processor = load(tower_at("clip"), f"language_model={folder}")
    assert processor.apply_chat_template(question()) == "USER: <image>\nWho?\n"


def test_a_chat_model_keeps_its_own_template_which_learns_to_take_pictures(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    own = tokenizer()
    own.chat_template = CHAT
    folder = _language(tmp_path, LANGUAGES["llama"](), own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, processor = load_processor(recipe(tower_at("clip"), f"language_model={folder}"), vision_language.AUTO_CLASS)
    assert processor.apply_chat_template(question("Who?", "He.")) == "[user] <image>\nWho?</s>\n[assistant] He.</s>\n"
    spoken = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "He."}]
    assert processor.apply_chat_template(spoken) == own.apply_chat_template(spoken, tokenize=False)


def test_a_model_that_can_think_aloud_is_kept_from_it(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    own = tokenizer()
    own.chat_template = CHAT + (
        "{% if add_generation_prompt %}[assistant] {% if enable_thinking is defined and enable_thinking is false %}"
        "<think></think>{% endif %}{% endif %}"
    )
    folder = _language(tmp_path, LANGUAGES["llama"](), own)
    _, processor = load_processor(recipe(tower_at("clip"), f"language_model={folder}"), vision_language.AUTO_CLASS)
    text = processor.apply_chat_template(question(), add_generation_prompt=True)
    assert text == "[user] <image>\nWho?</s>\n[assistant] <think></think>"


def test_a_chat_model_whose_template_writes_no_end_and_a_date_is_changed_and_that_is_said(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    own = tokenizer()
    own.chat_template = "{{ strftime_now('%Y') + '\n' }}" + CHAT.replace("</s>", "")
    folder = _language(tmp_path, LANGUAGES["llama"](), own)
    spec = recipe(tower_at("clip"), f"language_model={folder}")
    with pytest.warns(UserWarning, match=r"model\.language_model: the chat template of .* writes") as said:
        _, processor = load_processor(spec, vision_language.AUTO_CLASS)
    assert len(said) == 2
    text = processor.apply_chat_template(question("Who?", "He."))
    assert text == "2024\n[user] <image>\nWho?\n[assistant] He.</s>\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(spec, Features(), vision_language.AUTO_CLASS)


def test_a_fused_model_stops_where_its_chat_template_ends_an_answer(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    own = tokenizer()
    own.add_tokens(["<|im_end|>"], special_tokens=True)
    own.chat_template = CHAT.replace("</s>", "<|im_end|>")
    folder = _language(tmp_path, LANGUAGES["llama"](), own)
    model, _ = load(tower_at("clip"), f"language_model={folder}")
    assert model.generation_config.eos_token_id == [IDS["eos_token_id"], SIZE]


def test_a_fused_model_stops_where_its_language_model_does_and_is_greedy(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = _language(tmp_path, LANGUAGES["llama"](), tokenizer(pad_token=None))
    settings = {"do_sample": True, "top_k": 7, "eos_token_id": [SIZE - 1, SIZE - 2]}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    model, processor = load(tower_at("clip"), f"language_model={folder}")
    settings = model.generation_config
    assert (settings.eos_token_id, settings.pad_token_id) == ([SIZE - 2, SIZE - 1], IDS["eos_token_id"])
    assert not settings.do_sample and settings.top_k is None
    assert (processor.tokenizer.pad_token, processor.tokenizer.padding_side) == ("</s>", "left")


@pytest.mark.parametrize("name", UNTRUE)
def test_a_language_model_whose_logits_would_change_is_refused(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], name: str
) -> None:
    with pytest.raises(
        UserError, match=rf"model\.language_model: .* is a '{name}' model that cannot be assembled truthfully"
    ):
        load(tower_at("clip"), f"language_model={language_at(name)}")


def test_a_bias_that_the_native_head_has_not_is_refused(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    model = transformers.PhiForCausalLM(transformers.PhiConfig(**LLAMA))
    torch.nn.init.normal_(model.lm_head.bias)
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="'phi' model that cannot be assembled truthfully"):
        load(tower_at("clip"), f"language_model={tmp_path}")


def test_a_language_model_that_does_not_run_inside_another_is_refused(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4, "vocab_size": SIZE}
    folder = _language(tmp_path, transformers.MambaConfig(**sizes), tokenizer())
    with pytest.raises(UserError, match="'mamba' model that does not run as a part of another"):
        load(tower_at("clip"), f"language_model={folder}")


def test_layers_that_would_not_be_loaded_again_as_what_they_are_are_refused(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    sizes = {"d_model": 16, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 32}
    folder = _language(tmp_path, transformers.BartConfig(**sizes, **IDS, vocab_size=SIZE), tokenizer())
    with pytest.raises(UserError, match=r"model\.language_model: its layers are a BartDecoderWrapper"):
        load(tower_at("clip"), f"language_model={folder}")


def test_a_tokenizer_that_owns_the_image_token_is_refused(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    own = tokenizer()
    own.add_tokens(["<image>"])
    folder = _language(tmp_path, LANGUAGES["qwen2"](), own)
    with pytest.raises(UserError, match="already has a token <image>"):
        load(tower_at("clip"), f"language_model={folder}")


def test_a_tokenizer_without_an_end_token_is_refused(tower_at: Callable[[str], Path], tmp_path: Path) -> None:
    folder = _language(tmp_path, LANGUAGES["llama"](), tokenizer(eos_token=None))
    with pytest.raises(UserError, match="has no end token"):
        load(tower_at("clip"), f"language_model={folder}")


def test_a_picture_that_is_longer_than_the_language_model_reads_is_refused_with_the_arithmetic(
    tower_at: Callable[[str], Path], tmp_path: Path
) -> None:
    config = transformers.LlamaConfig(**LLAMA | {"max_position_embeddings": 16})
    folder = _language(tmp_path, config, tokenizer())
    with pytest.raises(UserError, match=r"at most 16 tokens, and one picture of .* takes 16 \(4 x 4 patches\)"):
        load(tower_at("clip"), f"language_model={folder}")
    assert load(tower_at("clip"), f"language_model={folder}", "connector=pixel_shuffle")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            lambda: transformers.SwinConfig(
                image_size=32, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[1, 1], window_size=4
            ),
            "'swin' model that gives a picture features of shape",
        ),
        (
            lambda: transformers.ConvNextConfig(hidden_sizes=[8] * 4, depths=[1] * 4),
            "'convnext' model that gives a picture features of shape",
        ),
        (
            lambda: transformers.ViTMAEConfig(**VISION),  # it hides most patches
            r"'vit_mae' model that gives a picture features of shape \(5, 16\)",
        ),
        (lambda: transformers.Siglip2VisionConfig(**LAYERS, patch_size=8), "cannot be LLaVA's vision tower"),
        (lambda: transformers.ViTConfig(**VISION | {"image_size": 64}), "cannot be LLaVA's vision tower"),
    ],
)
def test_an_encoder_that_gives_no_feature_a_patch_is_refused(
    language_at: Callable[[str], Path], tmp_path: Path, config: Callable[[], Any], said: str
) -> None:
    config().save_pretrained(tmp_path)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=said):
        load(tmp_path, f"language_model={language_at('llama')}")


def test_pictures_of_different_shapes_are_refused(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], tmp_path: Path
) -> None:
    transformers.AutoConfig.from_pretrained(tower_at("clip")).save_pretrained(tmp_path)
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, do_center_crop=False).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="gives pictures of different shapes"):
        load(tmp_path, f"language_model={language_at('llama')}")


def test_pooling_needs_an_even_square_of_patches_and_no_registers(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], tmp_path: Path
) -> None:
    language = f"language_model={language_at('llama')}"
    with pytest.raises(UserError, match=r"model\.connector: .* gives 4 x 4 patches and 4 registers"):
        load(tower_at("dinov2_with_registers"), language, "connector=pixel_shuffle")
    transformers.CLIPVisionConfig(**VISION | {"image_size": 24}).save_pretrained(tmp_path)
    transformers.CLIPImageProcessor(size={"shortest_edge": 24}, crop_size=24).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"gives 3 x 3 patches\. Set it to mlp"):
        load(tmp_path, language, "connector=pixel_shuffle")


def test_what_is_no_vision_or_no_language_checkpoint_is_refused_by_the_key_that_named_it(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], tiny_bert: Path, tmp_path: Path
) -> None:
    language = f"language_model={language_at('llama')}"
    for checkpoint, overrides, said in (
        (tiny_bert, [language], r"model\.checkpoint: .* is a 'bert' model, which does not fit this task"),
        (
            tower_at("vit"),
            [],
            r"model\.checkpoint: .* is a 'vit' model and has no language model.*--set model\.language_model=",
        ),
        (
            tower_at("vit"),
            [f"language_model={tower_at('vit')}"],
            r"model\.language_model: .* is a 'vit' model, no causal language model",
        ),
        (tower_at("vit"), ["language_model=/nowhere"], r"model\.language_model: there is no folder /nowhere"),
        (
            tower_at("vit"),
            [f"language_model={tmp_path}"],
            r"model\.language_model: the folder .* holds no config\.json",
        ),
        (tower_at("vit"), ["language_model=nobody/nothing"], r"model\.language_model: nobody/nothing cannot be had"),
    ):
        with pytest.raises(UserError, match=said):
            load(checkpoint, *overrides)


def test_a_language_model_that_lacks_tensors_is_refused(
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


def test_random_weights_are_of_the_same_architecture(
    fused: Callable[..., tuple[Any, Any]], tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    model, _ = fused("clip", "gpt2", "pixel_shuffle")
    fresh, _ = load(tower_at("clip"), f"language_model={language_at('gpt2')}", "connector=pixel_shuffle", "init=random")
    ours, theirs = model.state_dict(), fresh.state_dict()
    assert {name: one.shape for name, one in ours.items()} == {name: one.shape for name, one in theirs.items()}
    assert not torch.equal(ours["lm_head.weight"], theirs["lm_head.weight"])


def test_a_processor_that_leaves_another_number_of_places_is_refused(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    model, processor = load(tower_at("clip"), f"language_model={language_at('llama')}")
    processor.patch_size = 16
    with pytest.raises(UserError, match="does not fit the 4 places"):
        check_image_token_count(model, processor, "clip")


@pytest.mark.parametrize("connector", ["mlp", "pixel_shuffle"])
def test_an_assembled_model_is_ready_and_loads_as_it_is(
    fused: Callable[..., tuple[Any, Any]], language_at: Callable[[str], Path], tmp_path: Path, connector: str
) -> None:
    model, processor = fused("clip", "gemma3", connector)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again, both = load(tmp_path)
    torch.testing.assert_close(logits(again, inputs(both)), logits(model, inputs(processor)), rtol=0, atol=0)
    with pytest.raises(UserError, match=r"model\.language_model: .* brings its own language model; drop the key"):
        load(tmp_path, f"language_model={language_at('llama')}")


@pytest.fixture
def idefics3(tmp_path: Path) -> Path:
    """An image-text model of the shape of SmolVLM, ready as it is."""
    own = tokenizer()
    tokens = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    own.add_tokens(tokens, special_tokens=True)
    vision = LAYERS | {"image_size": 32, "patch_size": 8}
    config = transformers.Idefics3Config(
        vision_config=vision, text_config=LLAMA | {"model_type": "llama", "vocab_size": len(own)},
        scale_factor=2, image_token_id=SIZE, pad_token_id=IDS["pad_token_id"],
    )  # fmt: skip
    transformers.Idefics3ForConditionalGeneration(config).save_pretrained(tmp_path)
    edge = {"longest_edge": 32}
    pictures = transformers.Idefics3ImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    transformers.Idefics3Processor(pictures, own, image_seq_len=4).save_pretrained(tmp_path)
    return tmp_path


def test_a_ready_image_text_model_is_loaded_and_adapted_in_its_language_model_only(idefics3: Path) -> None:
    model, processor = load(idefics3)
    assert type(model) is transformers.Idefics3ForConditionalGeneration
    batch = processor(images=[picture()], text=["<image>Who?"], return_tensors="pt")
    assert logits(model, batch).isfinite().all()
    assert vision_language.FAMILY.modules_to_save(model) == ["model.connector"]
    assert {name.split(".layers")[0] for name in vision_language.FAMILY.target_modules(model)} == {"model.text_model"}


@pytest.mark.parametrize(("connector", "language"), [("mlp", "llama"), ("pixel_shuffle", "gemma3"), ("mlp", "gpt2")])
def test_lora_adapts_the_language_model_and_trains_the_projector_along(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], connector: str, language: str
) -> None:
    model, _ = load(tower_at("clip"), f"language_model={language_at(language)}", f"connector={connector}")
    linear = {"llama": 7, "gemma3": 7, "gpt2": 4}[language]
    assert len(vision_language.FAMILY.target_modules(model)) == 2 * linear
    stage = recipe(tower_at("clip")).stages[0].model_copy(update={"trainable": "lora"})
    adapted = trainable.set_trainable(model, stage, vision_language.FAMILY, [], "here")
    trained = {row.module for row in trainable.parameter_table(adapted) if row.trainable}
    assert trained == {"model.language_model", "model.multi_modal_projector"}


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("connector", ["mlp", "pixel_shuffle"])
def test_all_that_a_picture_passes_through_trains_and_the_rest_is_frozen(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path], tower: str, connector: str
) -> None:
    if (tower, connector) == ("dinov2_with_registers", "pixel_shuffle"):
        return  # refused
    model, processor = load(tower_at(tower), f"language_model={language_at('llama')}", f"connector={connector}")
    stage = recipe(tower_at(tower)).stages[0].model_copy(update={"trainable": "all"})
    trainable.set_trainable(model, stage, vision_language.FAMILY, [], "here")
    model(**inputs(processor)).logits.sum().backward()
    assert trainable.modules_without_gradient(model) == []
    assert {name for name, one in model.named_parameters() if one.requires_grad and one.grad is None} == set()
    frozen = {name for name, one in model.named_parameters() if not one.requires_grad}
    assert frozen and all(name.startswith("model.vision_tower.") for name in frozen)


def test_a_stage_trains_the_projector_alone(
    tower_at: Callable[[str], Path], language_at: Callable[[str], Path]
) -> None:
    model, processor = load(tower_at("clip"), f"language_model={language_at('llama')}")
    trainable.set_trainable(model, recipe(tower_at("clip")).stages[0], vision_language.FAMILY, [], "here")
    model(**inputs(processor)).logits.sum().backward()
    assert {name.split(".")[1] for name, one in model.named_parameters() if one.grad is not None} == {
        "multi_modal_projector"
    }
    assert trainable.modules_without_gradient(model) == []
