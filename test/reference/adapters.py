"""LoRA adapters as PEFT saves them, and what PEFT computes with them on the models that families.py made.

    python adapters.py            writes ../pretrained/fixtures/adapters
"""

import copy
import shutil
from pathlib import Path

import peft
import torch
import transformers
from families import FOLDER as MODELS
from families import load
from measure import SETTINGS, batch, for_file, random_generator, rounding, train
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

FOLDER = MODELS.parent / "adapters"

every_matrix = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# name: the model, and what the adapter has beside rank 4 and alpha 8.
ADAPTERS = {
    "llama": ("llama", {"target_modules": every_matrix}),
    "llama-rslora": ("llama", {"target_modules": ["q_proj", "v_proj"], "use_rslora": True}),
    "llama-one-block": ("llama-tied", {"target_modules": every_matrix, "layers_to_transform": [1]}),
    "phi3": ("phi3", {"target_modules": ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]}),
    "gpt2": ("gpt2", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
}


def write_adapter(name, seed):
    base, options = ADAPTERS[name]
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    torch.manual_seed(seed)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, bias="none", **options)
    model = get_peft_model(load(MODELS / base), config)
    generator = random_generator(seed)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)

    def reload():
        return PeftModel.from_pretrained(load(MODELS / base), folder, is_trainable=True).eval()

    input_ids, labels = batch(seed)
    with torch.no_grad():
        merged = reload().merge_and_unload()(input_ids=input_ids).logits
        bare = load(MODELS / base)(input_ids=input_ids).logits
    model = reload()
    in_double = train(copy.deepcopy(model).double(), input_ids, labels)
    expected = train(model, input_ids, labels)
    assert (expected["logits"] - bare).abs().max() > 0.1, "the adapter is to matter"
    assert (expected["logits"] - merged).abs().max() < 1e-4, "merging is to change nothing"
    # Names as in adapter_model.safetensors.
    expected = {key.replace(".default.", "."): value for key, value in expected.items()}
    in_double = {key.replace(".default.", "."): value for key, value in in_double.items()}
    about = {
        **SETTINGS,
        "base": base,
        "made_with": f"peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__}, float32",
        **rounding(expected, in_double),
    }
    save_file(for_file(expected | {"merged_logits": merged}), folder / "expected.safetensors", about)
    print(f"{name}: losses {expected['losses'].tolist()}\n  {about}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    for index, name in enumerate(ADAPTERS):
        write_adapter(name, seed=300 + 10 * index)
