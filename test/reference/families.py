"""A small random model of each family, with every option on, and what transformers computes with it.

    python families.py            writes ../pretrained/fixtures/models
"""

import copy
import json
import shutil
import tempfile
from pathlib import Path

import torch
import transformers
from measure import SETTINGS, VOCABULARY, batch, for_file, generate, random_generator, rounding, train
from safetensors.torch import save_file
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

FOLDER = Path(__file__).parent.parent / "pretrained" / "fixtures" / "models"

shared = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": None,
}

# With a head size of 8 and a base of 500, one wavelength is kept, one lies between the bounds, and two are stretched.
llama3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

# name: configuration, dtype of the file, largest shard, and the keys as folders made before transformers 5 have them.
FAMILIES = {
    "llama": (
        LlamaConfig(
            **shared,
            attention_bias=True,
            mlp_bias=True,
            rms_norm_eps=3e-4,
            rope_parameters={"rope_theta": 500.0, **llama3},
        ),
        torch.float32,
        None,
        {"rope_theta": 500.0, "rope_scaling": llama3},
    ),
    "llama-tied": (
        LlamaConfig(
            **shared,
            tie_word_embeddings=True,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_theta": 100000.0, "rope_type": "linear", "factor": 2.5},
        ),
        torch.bfloat16,
        None,
        {"rope_theta": 100000.0, "rope_scaling": {"type": "linear", "factor": 2.5}},
    ),
    "qwen2": (
        Qwen2Config(**shared, tie_word_embeddings=True, rope_parameters={"rope_theta": 1000.0, "rope_type": "default"}),
        torch.float16,
        None,
        # The window is there and not used.
        {"rope_theta": 1000.0, "use_sliding_window": False, "sliding_window": 4, "max_window_layers": 0},
    ),
    "qwen3": (
        Qwen3Config(
            **shared,
            head_dim=16,
            use_sliding_window=True,
            sliding_window=5,
            max_window_layers=1,
            rope_parameters={"rope_theta": 1e6, "rope_type": "default"},
        ),
        torch.float32,
        "48KB",
        {"rope_theta": 1e6, "rope_scaling": None},
    ),
    "mistral": (
        MistralConfig(
            **(shared | {"num_key_value_heads": 1}),
            head_dim=16,
            sliding_window=4,
            rms_norm_eps=1e-5,
            rope_parameters={"rope_theta": 10000.0, "rope_type": "default"},
        ),
        torch.float32,
        None,
        {"rope_theta": 10000.0},
    ),
    "phi3": (
        Phi3Config(
            **shared,
            sliding_window=6,
            rope_parameters={"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 0.5},
        ),
        torch.float32,
        None,
        {"rope_theta": 10000.0, "rope_scaling": None, "partial_rotary_factor": 0.5},
    ),
    "gpt2": (
        GPT2Config(
            vocab_size=VOCABULARY,
            n_positions=96,
            n_embd=32,
            n_layer=2,
            n_head=4,
            n_inner=72,
            layer_norm_epsilon=1e-4,
            bos_token_id=1,
            eos_token_id=None,
        ),
        torch.float32,
        None,
        {},
    ),
}


@torch.no_grad()
def randomize(model, seed):
    """Weights large enough that every part matters; norms are not ones, biases are not zeros."""
    generator = random_generator(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 1:
            parameter.copy_(1 + 0.2 * values if name.endswith("weight") else 0.2 * values)
        else:
            parameter.copy_(0.3 * values)


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def write_older_config(folder, older, logits, input_ids):
    """The configuration with the keys of before transformers 5, which most folders still have. It is to mean the same."""
    config = json.loads((folder / "config.json").read_text())
    for key in ["rope_parameters", "layer_types"]:
        config.pop(key, None)
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.0"
    text = json.dumps(config | older, indent=2, sort_keys=True) + "\n"
    with tempfile.TemporaryDirectory() as copied:
        shutil.copytree(folder, copied, dirs_exist_ok=True)
        (Path(copied) / "config.json").write_text(text)
        assert torch.equal(load(copied)(input_ids=input_ids).logits, logits), "the older keys are to mean the same"
    (folder / "config-before-5.json").write_text(text)


def write_family(name, seed):
    config, dtype, shard, older = FAMILIES[name]
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    randomize(model, seed)
    model.to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))

    model = load(folder)
    input_ids, labels = batch(seed)
    prompt, generated, margin = generate(model, seed + 1)
    in_double = train(copy.deepcopy(model).double(), input_ids, labels)
    expected = train(model, input_ids, labels)
    write_older_config(folder, older, expected["logits"], input_ids)
    about = {
        **SETTINGS,
        "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}, eager attention in float32",
        "smallest_margin_of_generated": f"{margin:.3g}",
        **rounding(expected, in_double),
    }
    save_file(for_file(expected | {"prompt": prompt, "generated": generated}), folder / "expected.safetensors", about)
    print(f"{name}: losses {expected['losses'].tolist()}")
    print(f"  {about}\n  generated {generated.tolist()}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for index, name in enumerate(FAMILIES):
        write_family(name, seed=100 + 10 * index)
