"""What is measured of a model for a fixture: logits, loss, gradients, ten steps of training, and greedy text."""

import torch

STEPS = 10
NEW_TOKENS = 64
VOCABULARY = 96
OPTIMIZER = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
WEIGHT_DECAY = 0.1
MAX_GRADIENT_NORM = 1.0


def random_generator(seed):
    return torch.Generator().manual_seed(seed)


def batch(seed):
    """Two texts of twelve tokens. The labels are the tokens themselves (the loss moves them by one), some without a target."""
    input_ids = torch.randint(VOCABULARY, (2, 12), generator=random_generator(seed))
    labels = input_ids.clone()
    labels[0, :4] = -100
    labels[1, 6] = -100
    labels[1, 9:] = -100
    return input_ids, labels


def trained_parameters(model):
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def train(model, input_ids, labels):
    """Measures the model as it is, then makes ten steps of AdamW on the same batch. The model is changed."""
    parameters = trained_parameters(model)
    matrices = [parameter for parameter in parameters.values() if parameter.ndim >= 2]
    others = [parameter for parameter in parameters.values() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], foreach=False, **OPTIMIZER)
    tensors = {"input_ids": input_ids, "labels": labels}
    losses, norms = [], []
    for step in range(STEPS):
        optimizer.zero_grad()
        output = model(input_ids=input_ids, labels=labels, use_cache=False)
        output.loss.backward()
        if step == 0:
            tensors |= {"logits": output.logits, "loss": output.loss}
            tensors |= {f"gradient.{name}": parameter.grad.clone() for name, parameter in parameters.items()}
        norms.append(torch.nn.utils.clip_grad_norm_(parameters.values(), MAX_GRADIENT_NORM, foreach=False))
        losses.append(output.loss.detach())
        optimizer.step()
    assert min(norms) > MAX_GRADIENT_NORM, "clipping is to act in every step"
    tensors |= {"losses": torch.stack(losses), "gradient_norms": torch.stack(norms)}
    tensors |= {f"trained.{name}": parameter for name, parameter in parameters.items()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@torch.no_grad()
def generate(model, seed):
    """A prompt of five tokens and 64 greedy ones, with and without the cache of keys and values.

    Prompts are tried until the text varies and no choice is near a tie.
    """
    generator = random_generator(seed)
    for _ in range(200):
        prompt = torch.randint(VOCABULARY, (5,), generator=generator)
        generated = model.generate(
            prompt[None],
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            pad_token_id=0,
        )[0]
        # The logits that chose each token, without a cache.
        best = model(input_ids=generated[None], use_cache=False).logits[0, len(prompt) - 1 : -1].topk(2)
        margin = float((best.values[:, 0] - best.values[:, 1]).min())
        generated = generated[len(prompt) :]
        assert torch.equal(best.indices[:, 0], generated) or margin < 1e-4, "the cache is to change nothing"
        if margin > 2e-3 and len(generated.unique()) >= 12:
            return prompt, generated, margin
    raise AssertionError("no prompt gives a varied text: choose another seed")


def difference(expected, other):
    """The largest difference of two tensors, as a share of the largest value."""
    largest = expected.abs().max().item()
    return (expected.double() - other.double()).abs().max().item() / largest if largest else other.abs().max().item()


def rounding(expected, other):
    """What rounding alone changes, as text: the largest difference among tensors of one kind, and the tensor it is in."""
    report = {}
    for kind in ["logits", "losses", "gradient.", "trained."]:
        worst = max((difference(expected[name], other[name]), name) for name in expected if name.startswith(kind))
        report[f"rounding.{kind.rstrip('.')}"] = f"{worst[0]:.1e} {worst[1]}"
    return report


def for_file(tensors):
    """Whole numbers as I32, everything else as F32."""
    return {
        name: tensor.to(torch.float32 if tensor.is_floating_point() else torch.int32).contiguous()
        for name, tensor in tensors.items()
    }


SETTINGS = {
    "steps": f"{STEPS} on the same batch, dropout off; losses and gradient_norms are of before each step",
    "optimizer": f"AdamW, learning rate {OPTIMIZER['lr']}, betas {OPTIMIZER['betas']}, epsilon {OPTIMIZER['eps']}",
    "weight_decay": f"{WEIGHT_DECAY} on parameters of two dimensions, embeddings too; none on biases and norms",
    "clipping": f"global norm {MAX_GRADIENT_NORM}; the factor is {MAX_GRADIENT_NORM} / (norm + 1e-6)",
}
