"""Products, attention, the GPT and the decoder of the benchmark in PyTorch, on CUDA where it is there, else on the CPU.

Started by pytorch.mjs. The line of standard input is {"compiled": bool, "cases": [...]}, the cases as the suites' workloads
write them; it ends when that input is closed. Every line of standard output is a message for the benchmark: {"progress": ...}, at the end {"report": ...}.
"""

import json
import math
import os
import resource
import sys
import threading
import time

import torch
import torch.nn.functional as F

ROUND_SECONDS = 0.25
ROUNDS = 7
MOST_REPEATS = 64
LONG_SECONDS = 1.5
WARM_STEPS = 2

device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
# No TF32: the others compute in f32 throughout.
torch.set_float32_matmul_precision("highest")


def synchronize():
    if device.type == "cuda":
        torch.cuda.synchronize()


def send(message):
    print(json.dumps(message), flush=True)


class LoadMeter:
    """The share of all cores that other processes took since it was made (as command/load-meter.ts has it)."""

    def __init__(self):
        self.before = self.read()

    def read(self):
        try:
            with open("/proc/stat") as file:
                user, nice, system, idle, _, interrupts = (int(word) for word in file.readline().split()[1:7])
        except OSError:
            return None
        ticks = os.sysconf("SC_CLK_TCK")
        busy = user + nice + system + interrupts
        return busy / ticks, (busy + idle) / ticks, sum(os.times()[:4])

    def others_share(self):
        now = self.read()
        if now is None or self.before is None or now[1] <= self.before[1]:
            return None
        busy, total, own = (b - a for a, b in zip(self.before, now))
        return min(1.0, max(0.0, (busy - own) / total))


def measure_operation(case, repeat):
    """Rounds of many repetitions with one wait at the end of each, as bench/measure-operations.ts measures the others."""

    def seconds(times):
        start = time.perf_counter()
        repeat(times)
        synchronize()
        return (time.perf_counter() - start) / times

    first = seconds(1)
    once = min(seconds(1), seconds(1))
    repeats = max(1, min(MOST_REPEATS, round(ROUND_SECONDS / once)))
    meter = LoadMeter()
    samples = [seconds(repeats) for _ in range(3 if once > LONG_SECONDS else ROUNDS)]
    return {
        "case": case["name"],
        "milliseconds": [1000 * sample for sample in samples],
        "firstMilliseconds": 1000 * first,
        "flops": case["flops"],
        "othersShare": meter.others_share(),
    }


def pattern(count, stride, modulus, shape):
    return ((torch.arange(count, device=device) * stride) % modulus / modulus).reshape(shape)


def matmul_case(case, compiled):
    m, k, n = case["m"], case["k"], case["n"]
    a = pattern(m * k, 1, 7, (m, k)) / k
    b = pattern(k * n, 1, 5, (k, n))
    g = pattern(m * n, 1, 3, (m, n))
    product = torch.compile(torch.matmul) if compiled else torch.matmul

    def repeat(times):
        for _ in range(times):
            if case["withGradients"]:
                torch.autograd.grad(product(a, b), [a, b], g)
            else:
                product(a, b)

    if case["withGradients"]:
        a.requires_grad_()
        b.requires_grad_()
    return measure_operation(case, repeat)


def causal_attention(q, k, v):
    """PyTorch's own kernel where it has one; (batch, heads, time, head size)."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    positions = q.shape[-2]
    mask = torch.full((positions, positions), -math.inf, device=q.device).triu(1)
    return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + mask, -1) @ v


def attention_case(case, compiled):
    shape = (case["batch"], case["time"], case["heads"], case["headSize"])
    inputs = [(pattern(math.prod(shape), stride, 11, shape) - 0.5).requires_grad_() for stride in (3, 5, 7)]

    def forward(q, k, v):
        return causal_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2)

    if compiled:
        forward = torch.compile(forward)

    def repeat(times):
        for _ in range(times):
            torch.autograd.grad(forward(*inputs).sum(), inputs)

    return measure_operation(case, repeat)


class Gpt(torch.nn.Module):
    """Pre-norm and causal, ReLU feed-forward, norms that have a gain only, learned positions, a head of its own."""

    def __init__(self, size):
        super().__init__()
        width, hidden, self.heads = size["width"], size["hidden"], size["heads"]
        uniform = uniform_numbers() if size["sharedWeights"] else None

        def matrix(rows, columns):
            if uniform:
                values = torch.tensor([next(uniform) for _ in range(rows * columns)]).reshape(rows, columns)
            else:
                values = torch.randn(rows, columns) * 0.02
            return torch.nn.Parameter(values.to(device))

        def gain():
            return torch.nn.Parameter(torch.ones(width, device=device))

        self.tokens = matrix(size["vocabulary"], width)
        self.positions = matrix(size["time"], width)
        self.head = matrix(width, size["vocabulary"])
        self.norm = gain()
        self.blocks = torch.nn.ModuleList()
        for _ in range(size["blocks"]):
            block = torch.nn.Module()
            block.query_key_value = matrix(width, 3 * width)
            block.output = matrix(width, width)
            block.up = matrix(width, hidden)
            block.down = matrix(hidden, width)
            block.norm1 = gain()
            block.norm2 = gain()
            self.blocks.append(block)

    def normalize(self, x, gain):
        return F.layer_norm(x, gain.shape, gain, None, 1e-5)

    def forward(self, tokens, targets):
        x = F.embedding(tokens, self.tokens) + self.positions
        batch, positions, width = x.shape
        for block in self.blocks:
            projected = self.normalize(x, block.norm1) @ block.query_key_value
            q, k, v = projected.reshape(batch, positions, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            x = x + causal_attention(q, k, v).transpose(1, 2).reshape(batch, positions, width) @ block.output
            x = x + torch.relu(self.normalize(x, block.norm2) @ block.up) @ block.down
        logits = self.normalize(x, self.norm) @ self.head
        return F.cross_entropy(logits.reshape(batch * positions, -1), targets.reshape(-1))


def uniform_numbers():
    """The numbers of bench/step/workload.ts, in its order. They are computed in 64-bit floats there, so here too."""
    state = 1.0
    while True:
        state = (state * 1103515245.0 + 12345.0) % 2147483648.0
        yield (state / 2147483648.0 - 0.5) * 0.16


def optimizer_of(parameters):
    """PyTorch's fastest Adam on the device."""
    settings = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8}
    try:
        return torch.optim.Adam(parameters, fused=True, **settings)
    except (TypeError, RuntimeError):
        return torch.optim.Adam(parameters, **settings)


FROZEN = {
    "early": ("tokens", "positions", "blocks.0."),
    "late": ("blocks.1.", "norm", "head"),
}


def gpt_case(case, compiled):
    torch.manual_seed(1)
    model = Gpt(case)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = not name.startswith(FROZEN.get(case.get("frozen"), ()))
    optimizer = optimizer_of([parameter for parameter in model.parameters() if parameter.requires_grad])
    loss_of = torch.compile(model) if compiled else model
    count = case["batch"] * case["time"]
    places = torch.arange(count).reshape(case["batch"], case["time"])

    def step():
        # The batch comes from the host in every step, as it does for the others.
        tokens = (7 * places % case["vocabulary"]).to(device)
        targets = ((7 * places + 7) % case["vocabulary"]).to(device)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(tokens, targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return measure_steps(case, step)


def measure_steps(case, step):
    times, losses = [], []
    for i in range(WARM_STEPS + case["steps"]):
        if i == WARM_STEPS:
            meter = LoadMeter()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
        start = time.perf_counter()
        losses.append(step())
        times.append(1000 * (time.perf_counter() - start))
    measured = {
        "case": case["name"],
        "milliseconds": times[WARM_STEPS:],
        "firstMilliseconds": times[0],
        "firstLoss": losses[0],
        "othersShare": meter.others_share(),
        "figures": {"residentBytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss},
    }
    if device.type == "cuda":
        measured["peakBytes"] = torch.cuda.max_memory_allocated()
    return measured


class AdaptedLinear(torch.nn.Module):
    """x -> x W, with an adapter of the given rank where it is above 0."""

    def __init__(self, inputs, outputs, rank):
        super().__init__()
        self.base = torch.nn.Linear(inputs, outputs, bias=False, device=device)
        self.rank = rank
        if rank > 0:
            self.base.weight.requires_grad = False
            self.a = torch.nn.Parameter(torch.randn(rank, inputs, device=device) / math.sqrt(inputs))
            self.b = torch.nn.Parameter(torch.zeros(outputs, rank, device=device))

    def forward(self, x):
        y = self.base(x)
        return y if self.rank == 0 else y + F.linear(F.linear(x, self.a), self.b)


class Decoder(torch.nn.Module):
    """A Llama: RMSNorm, rotation by halves, grouped keys and values, SwiGLU, a tied head."""

    def __init__(self, case, rank):
        super().__init__()
        width, hidden, self.size = case["width"], case["hidden"], case
        queries, keys = case["heads"] * case["headSize"], case["keyHeads"] * case["headSize"]
        self.tokens = torch.nn.Parameter(torch.randn(case["vocabulary"], width, device=device) * 0.02)
        self.norm = torch.nn.RMSNorm(width, case["epsilon"], device=device)
        self.blocks = torch.nn.ModuleList()
        for _ in range(case["blocks"]):
            block = torch.nn.Module()
            block.query = AdaptedLinear(width, queries, rank)
            block.key = AdaptedLinear(width, keys, rank)
            block.value = AdaptedLinear(width, keys, rank)
            block.output = AdaptedLinear(queries, width, rank)
            block.gate = AdaptedLinear(width, hidden, rank)
            block.up = AdaptedLinear(width, hidden, rank)
            block.down = AdaptedLinear(hidden, width, rank)
            block.norm1 = torch.nn.RMSNorm(width, case["epsilon"], device=device)
            block.norm2 = torch.nn.RMSNorm(width, case["epsilon"], device=device)
            self.blocks.append(block)
        half = torch.arange(0, case["headSize"], 2, device=device) / case["headSize"]
        angles = torch.outer(torch.arange(case["time"], device=device), case["base"] ** -half)
        self.cosine, self.sine = (each.repeat(1, 2) for each in (angles.cos(), angles.sin()))

    def rotate(self, x):
        low, high = x.chunk(2, -1)
        return x * self.cosine + torch.cat((-high, low), -1) * self.sine

    def forward(self, tokens, targets):
        x = F.embedding(tokens, self.tokens)
        batch, positions, _ = x.shape

        def heads(projected):
            return projected.reshape(batch, positions, -1, self.size["headSize"]).transpose(1, 2)

        for block in self.blocks:
            normed = block.norm1(x)
            q, k, v = (heads(layer(normed)) for layer in (block.query, block.key, block.value))
            q, k = self.rotate(q), self.rotate(k)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            x = x + block.output(mixed.transpose(1, 2).reshape(batch, positions, -1))
            normed = block.norm2(x)
            x = x + block.down(F.silu(block.gate(normed)) * block.up(normed))
        logits = F.linear(self.norm(x), self.tokens)
        return F.cross_entropy(logits.reshape(batch * positions, -1), targets.reshape(-1))


def decoder_case(case, compiled):
    torch.manual_seed(1)
    rank = case["rank"] if case["trains"] == "LoRA" else 0
    model = Decoder(case, rank)
    if rank > 0:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.endswith((".a", ".b"))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    loss_of = torch.compile(model) if compiled else model
    places = torch.arange(case["batch"] * case["time"]).reshape(case["batch"], case["time"])

    def step():
        tokens = (places * 7 % case["vocabulary"]).to(device)
        targets = ((places * 7 + 7) % case["vocabulary"]).to(device)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(tokens, targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return measure_steps(case, step)


MEASURES = {"matmul": matmul_case, "attention": attention_case, "gpt": gpt_case, "decoder": decoder_case}


def end_with_the_starter():
    sys.stdin.read()
    os._exit(1)


request = json.loads(sys.stdin.readline())
threading.Thread(target=end_with_the_starter, daemon=True).start()
if request["compiled"] and not hasattr(torch, "compile"):
    sys.exit(f"PyTorch {torch.__version__} does not compile")
measured_cases = []
for one in request["cases"]:
    send({"progress": one["name"]})
    measured_cases.append(MEASURES[one["kind"]](one, request["compiled"]))
name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
adapter = f"{name}, PyTorch {torch.__version__}"
send({"report": {"adapter": adapter, "software": device.type == "cpu", "cases": measured_cases}})
