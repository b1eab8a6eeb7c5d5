"""The other half of finetuning.ts: the same batches, first adapter and optimizer, with transformers and PEFT.

    python finetuning.py MODEL OUT        # after: node scripts/run.mjs test/reference/finetuning.ts MODEL TEXT OUT lora|layers
"""

import json
import resource
import statistics
import sys
import time

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

folder, out = sys.argv[1:3]
with open(f"{out}/ours.json") as file:
    ours = json.load(file)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
if ours["mode"] == "lora":
    model = PeftModel.from_pretrained(model, f"{out}/initial", is_trainable=True)
else:
    model.requires_grad_(False)
    for layer in model.model.layers[-ours["layers"] :]:
        layer.requires_grad_(True)
model.train()
settings = ours["settings"]
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=settings["learningRate"], weight_decay=settings["weightDecay"], fused=True)
losses, seconds = [], []
for batch in ours["batches"]:
    started = time.perf_counter()
    rows = torch.tensor(batch)
    optimizer.zero_grad(set_to_none=True)
    logits = model(input_ids=rows[:, :-1]).logits
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, settings["maxGradientNorm"])
    optimizer.step()
    losses.append(loss.item())
    seconds.append(time.perf_counter() - started)
    print(f"step {len(losses)}: loss {losses[-1]:.4f} (ours {ours['losses'][len(losses) - 1]:.4f}), {seconds[-1]:.2f} s", flush=True)
resident = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
worst = max(abs(a - b) / b for a, b in zip(ours["losses"], losses))
print(f"{ours['mode']}: largest relative difference of a loss {worst:.2e}")
for name, own, other in [
    ("median seconds a step", statistics.median(ours["seconds"]), statistics.median(seconds)),
    ("peak resident MiB", ours["residentBytes"] / 2**20, resident / 2**20),
]:
    print(f"{name}: ours {own:.2f}, PyTorch {other:.2f}, ratio {own / other:.2f}")
