"""Whether transformers and PEFT read what this library wrote: their logits beside those of a fixture.

    python check.py MODEL_FOLDER EXPECTED                      a model, and an expected.safetensors
    python check.py MODEL_FOLDER EXPECTED --adapter FOLDER     an adapter on it
    python check.py MODEL_FOLDER EXPECTED --trained            … against the weights after ten steps
"""

import argparse
import sys

from families import load
from measure import difference
from peft import PeftModel
from safetensors.torch import load_file

LARGEST_DIFFERENCE = {"logits": 2e-5, "trained": 1e-4}


def check_logits(model, expected):
    logits = model(input_ids=expected["input_ids"].long(), use_cache=False).logits.detach()
    return {"logits": difference(expected["logits"], logits)}


def check_trained(model, expected):
    parameters = {name.replace(".default.", "."): parameter for name, parameter in model.named_parameters()}
    trained = {name.removeprefix("trained."): tensor for name, tensor in expected.items() if name.startswith("trained.")}
    return {name: difference(tensor, parameters[name].detach()) for name, tensor in trained.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("expected")
    parser.add_argument("--adapter")
    parser.add_argument("--trained", action="store_true")
    options = parser.parse_args()
    model = load(options.model)
    if options.adapter:
        model = PeftModel.from_pretrained(model, options.adapter).eval()
    differences = (check_trained if options.trained else check_logits)(model, load_file(options.expected))
    name, largest = max(differences.items(), key=lambda item: item[1])
    print(f"largest difference, as a share of the largest value: {largest:.1e} in {name}")
    sys.exit(largest > LARGEST_DIFFERENCE["trained" if options.trained else "logits"])
