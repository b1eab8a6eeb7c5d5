"""What torch says at the edges of operations: no element, one, ties, NaN, infinities, zeros, integers.

    python edge_cases.py            writes ../autograd/fixtures/edge-cases.json

A case is an expression over `x`, `y`, `z` in the library's spelling, its operands, and in float64 its results and, for the seed
0.5, 0.75, … of the first, the gradients of the operands. Left out is where the library differs, and says so in its documentation.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F

FILE = Path(__file__).parent.parent / "autograd" / "fixtures" / "edge-cases.json"
torch.set_default_dtype(torch.float64)
nan, inf = math.nan, math.inf
T = torch.tensor
cases = []


def encoded(x):
    """JSON has no NaN, no infinities, and -0 would become an integer; f32 needs nine digits."""
    values = [float(f"{value:.9g}") for value in x.detach().flatten().to(torch.float64).tolist()]
    plain = lambda value: math.isfinite(value) and (value != 0 or math.copysign(1, value) > 0)
    return [value if plain(value) else str(value) for value in values]


def tensor_of(x):
    return {"shape": list(x.shape), "data": encoded(x), **({} if x.is_floating_point() else {"dtype": "i32"})}


def case(expression, compute, *operands):
    leaves = [
        x.float().double().requires_grad_() if x.is_floating_point() else x for x in (x.detach().clone() for x in operands)
    ]
    entry = {"expression": expression, "operands": [tensor_of(leaf) for leaf in leaves]}
    try:
        result = compute(*leaves)
    except (RuntimeError, IndexError, ValueError):
        cases.append({**entry, "results": None})
        return
    results = [result] if torch.is_tensor(result) else list(result)
    entry["results"] = [tensor_of(each) for each in results]
    if results[0].requires_grad:
        seed = (torch.arange(results[0].numel()) % 5 * 0.25 + 0.5).reshape(results[0].shape)
        floats = [leaf for leaf in leaves if leaf.requires_grad]
        gradients = torch.autograd.grad(results[0], floats, seed, allow_unused=True)
        entry["gradients"] = [encoded(each) for each in gradients if each is not None]
    cases.append(entry)


numbers = T([nan, inf, -inf, 0.0, -0.0, 1e-20, 1.0, -1.0, 0.5, -2.5, 3.0, 30.0, -30.0, 88.0, -88.0, 100.0, -100.0, 1e4, -1e4, 0.003])
for name in "neg exp log sqrt rsqrt tanh sigmoid relu sin cos log1p erf softplus silu".split():
    case(f"x.{name}()", getattr(torch, name, None) or getattr(F, name), numbers)
case("x.abs()", torch.abs, numbers[1:])
case("x.gelu()", lambda x: F.gelu(x, approximate="tanh"), numbers)
case("x.leakyRelu(0.01)", F.leaky_relu, numbers)
for exponent in [0, 1, 2, 3, -1, -2]:
    case(f"x.pow({exponent})", lambda x: x**exponent, numbers)
case("x.pow(y)", torch.pow, T([0.0, 0, 0, 1, 1, -1, 2, -2, -2, 4, inf]), T([0.0, 2, 0.5, nan, inf, -inf, nan, 3, 2, 0.5, 2]))
for low, high in [(-1, 1), (0, inf), (-inf, 0), (0, 0)]:
    spelled = [str(bound).replace("inf", "Infinity") for bound in (low, high)]
    case(f"x.clamp({', '.join(spelled)})", lambda x: x.clamp(low, high), numbers)
case("where(x.greater(0), y, z)", lambda x, y, z: torch.where(x > 0, y, z), numbers, numbers, -numbers)

few = T([nan, inf, -inf, 0.0, -0.0, 1.0, -2.0])
pairs = [few.repeat_interleave(len(few)), few.repeat(len(few))]
binary = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div}
compared = {"equal": torch.eq, "notEqual": torch.ne, "less": torch.lt, "lessEqual": torch.le, "greater": torch.gt, "greaterEqual": torch.ge}
for name, operation in (binary | compared).items():
    case(f"x.{name}(y)", operation, *pairs)
for name in ["maximum", "minimum"]:
    case(f"x.{name}(y)", getattr(torch, name), *[x[~(pairs[0].isnan() | pairs[1].isnan())] for x in pairs])

inputs = {
    "none": torch.zeros(0),
    "rows of none": torch.zeros(3, 0),
    "no rows": torch.zeros(0, 3),
    "scalar": T(2.5),
    "zero": T(0.0),
    "one": T([3.0]),
    "vector": T([1.0, -2, 3, 3, 0]),
    "ties": T([[2.0, 2, 1], [0, 0, 0], [-1, -1, -1]]),
    "nan": T([[1.0, nan, 2], [3, 4, 5]]),
    "infinities": T([[1.0, 3, 2], [-inf, 0, -inf], [inf, -inf, 0]]),
    "zeros": T([[0.0, 1, 2], [0, 0, 2], [3, 4, 5]]),
    "large": T([[1e30, 1e20], [1e20, 1]]),
    "small": T([[1e-30, 2e-30], [1e-25, 0]]),
    "cube": torch.arange(24.0).reshape(2, 3, 4).sin(),
}
for name, x in inputs.items():
    places = [None, *range(x.dim()), *([-1] if name in ("ties", "no rows") else []), *([(0, -1)] if x.dim() > 1 else [])]
    for axes in places:
        keep = isinstance(axes, int) and axes < 0
        dims = tuple(range(x.dim())) if axes is None else axes
        given = {} if axes is None else {"dim": axes, "keepdim": keep}
        options = {} if axes is None else {"axes": axes, **({"keepDims": True} if keep else {})}
        call = lambda operation, more={}: f"x.{operation}({json.dumps({**options, **more}) if options or more else ''})"
        case(call("sum"), lambda x: x.sum(**given), x)
        case(call("mean"), lambda x: x.mean(**given), x)
        if name != "nan":
            case(call("max"), lambda x: x.amax(dims, keep) if x.dim() else x.max(), x)
            case(call("min"), lambda x: x.amin(dims, keep) if x.dim() else x.min(), x)
        if not isinstance(axes, tuple) and name not in ("infinities", "large", "small"):
            case(call("prod"), lambda x: x.prod(**given), x)
        case(call("norm"), lambda x: x.norm(**given) if given else x.norm(), x)
        case(call("logSumExp"), lambda x: torch.logsumexp(x, dims, keep), x)
        count = x.numel() if axes is None else math.prod(x.shape[axis] for axis in (dims if isinstance(dims, tuple) else [dims]))
        for correction in [0, 1]:
            if count > correction and name != "infinities":
                more = {"correction": correction}
                if name != "large":
                    case(call("variance", more), lambda x: x.var(dim=axes, correction=correction, keepdim=keep), x)
                case(call("standardDeviation", more), lambda x: x.std(dim=axes, correction=correction, keepdim=keep), x)
        if not isinstance(axes, tuple):
            for extreme in ["argmax", "argmin"]:
                case(call(extreme).replace("axes", "axis"), lambda x: getattr(x, extreme)(**given), x)
    for axis in range(-x.dim(), x.dim()):
        along = json.dumps({"axis": axis})
        case(f"x.cumsum({axis})", lambda x: x.cumsum(axis), x)
        case(f"x.softmax({along})", lambda x: x.softmax(axis), x)
        case(f"x.logSoftmax({along})", lambda x: x.log_softmax(axis), x)
        case(f"x.flip({axis})", lambda x: x.flip(axis), x)
        case(f"x.split(2, {axis})", lambda x: x.split(2, axis), x)
        for down in [False, True]:
            order = json.dumps({"axis": axis, "descending": down})
            case(f"x.sort({order})", lambda x: torch.sort(x, dim=axis, descending=down, stable=True), x)
        case(f"x.topk({x.shape[axis] + 1}, {along})", lambda x: x.topk(x.shape[axis] + 1, axis), x)
        case(f"x.indexSelect({axis}, y)", lambda x, y: x.index_select(axis, y), x, torch.zeros(min(2, x.shape[axis]), dtype=torch.int64))
    for axis in range(-x.dim() - 1, x.dim() + 1):
        case(f"x.unsqueeze({axis})", lambda x: x.unsqueeze(axis), x)
        case(f"stack([x, x], {axis})", lambda x: torch.stack([x, x], axis), x)
    case("x.squeeze()", torch.squeeze, x)
    case("x.flatten()", torch.flatten, x)
    case("x.flatten(1)", lambda x: x.flatten(1), x)
    for diagonal in [0, 1, -1, 5]:
        case(f"x.tril({diagonal})", lambda x: x.tril(diagonal), x)
        case(f"x.triu({diagonal})", lambda x: x.triu(diagonal), x)
    if x.dim() == 2:
        rows, columns = x.shape
        case("x.pad([[1, 0], [2, 3]], { value: -Infinity })", lambda x: F.pad(x, (2, 3, 1, 0), value=-inf), x)
        case(f"x.expand([2, -1, {columns}])", lambda x: x.expand(2, -1, columns), x)
        for equation in ["ij->ji", "ij->", "ij->j"]:
            case(f"einsum('{equation}', x)", lambda x: torch.einsum(equation, x), x)
        for equation in ["ij,kj->ik", "ij,ij->", "ij,ij->i"]:
            case(f"einsum('{equation}', x, y)", lambda x, y: torch.einsum(equation, x, y), x, 2 * x)
        case("einsum('ij,kj,kl->il', x, x, x)", lambda x: torch.einsum("ij,kj,kl->il", x, x, x), x)
        case("x.matmul(y)", torch.matmul, x, torch.arange(float(columns)))
        case("y.matmul(x)", lambda x, y: y @ x, x, torch.arange(float(rows)))
        case("x.gather(1, y)", lambda x, y: x.gather(1, y), x, torch.zeros(rows, 2 if columns else 0, dtype=torch.int64))

case("x.matmul(y)", torch.matmul, torch.zeros(0), torch.zeros(0))
case("x.matmul(y)", torch.matmul, inputs["cube"], torch.arange(4.0))
case("einsum('i,j->ij', x, y)", lambda x, y: torch.einsum("i,j->ij", x, y), inputs["vector"], inputs["one"])
case("x.scatterAdd(0, y, z)", lambda x, y, z: x.scatter_add(0, y, z), inputs["ties"], T([[0, 2, 0], [0, 1, 1]]), torch.ones(2, 3))
case("x.at(-1, null, [-2, null])", lambda x: x[-1, :, -2:], inputs["cube"])
case("x.at(null, y)", lambda x, y: x[:, y], inputs["cube"], T([2, 0]))

for reduction in ["mean", "sum", "none"]:
    options = json.dumps({"reduction": reduction})
    for logits in [T([0.0, 100, -100, 3]), T([nan, inf, 1, 0])]:
        labels = T([0.0, 1, 1, 0.5])
        case(f"binaryCrossEntropy(x, y, {options})", lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction=reduction), logits, labels)
        case(f"meanSquaredError(x, y, {options})", lambda x, y: F.mse_loss(x, y, reduction=reduction), logits, labels)
    for smoothing in [0, 0.1]:
        options = json.dumps({"reduction": reduction, "labelSmoothing": smoothing})
        for logits in [T([[1.0, 2, 3], [0, 0, 0], [100, -100, 0]]), T([[nan, 1, 2], [inf, 0, 0]]), torch.zeros(2, 1)]:
            classes = torch.arange(len(logits)) % logits.shape[1]
            loss = lambda x, y: F.cross_entropy(x, y, label_smoothing=smoothing, reduction=reduction)
            case(f"crossEntropy(x, y, {options})", loss, logits, classes)
case("crossEntropy(x, y)", F.cross_entropy, inputs["ties"], T([-100, 1, -100]))

first, second = T([3, -2, 0, 7, -7, 2]), T([2, 2, -2, 2, 2, 1])
others = {name: getattr(torch, name) for name in ["maximum", "minimum"]}
for name, operation in (binary | compared | others).items():
    if name != "div":
        case(f"x.{name}(y)", operation, first, second)
whole = first.reshape(2, 3)
for expression, operation in {
    "x.neg()": torch.neg,
    "x.abs()": torch.abs,
    "x.relu()": torch.relu,
    "x.clamp(-1, 2)": lambda x: x.clamp(-1, 2),
    "where(x.greater(0), x, 0)": lambda x: torch.where(x > 0, x, 0),
    "x.sum()": torch.sum,
    "x.sum({ axes: 0 })": lambda x: x.sum(0),
    "x.prod({ axes: 1 })": lambda x: x.prod(1),
    "x.max({ axes: 1 })": lambda x: x.amax(1),
    "x.min({ axes: 0 })": lambda x: x.amin(0),
    "x.argmax({ axis: 1 })": lambda x: x.argmax(1),
    "x.argmin()": torch.argmin,
    "x.sort({ axis: 1 })": lambda x: x.sort(1),
    "x.sort({ axis: 0, descending: true })": lambda x: x.sort(0, descending=True),
    "x.topk(2)": lambda x: x.topk(2),
    "x.cumsum(1)": lambda x: x.cumsum(1),
    "x.tril()": torch.tril,
    "x.triu(1)": lambda x: x.triu(1),
    "x.flip(0, 1)": lambda x: x.flip(0, 1),
    "x.pad([[1, 0], [0, 2]], { value: 9 })": lambda x: F.pad(x, (0, 2, 1, 0), value=9),
    "stack([x, x], 1)": lambda x: torch.stack([x, x], 1),
    "x.mean()": torch.mean,
}.items():
    case(expression, operation, whole)
case("x.gather(1, y)", lambda x, y: x.gather(1, y), whole, T([[0, 2], [1, 1]]))
case("x.scatterAdd(1, y, z)", lambda x, y, z: x.scatter_add(1, y, z), whole, T([[0, 2], [1, 1]]), T([[5, 6], [7, 8]]))
case("x.indexSelect(1, y)", lambda x, y: x.index_select(1, y), whole, T([2, 0]))
case("x.at(y)", lambda x, y: x[y], whole, T([1, 1, 0]))
case("x.cast('i32')", lambda x: x.to(torch.int32), T([1.9, -1.9, 0.5, -0.5, 2.5, 1e9]))
case("oneHot(x, 4)", lambda x: F.one_hot(x, 4), T([[0, 1], [3, 2]]))

FILE.write_text("[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in cases) + "\n]\n")
print(f"{len(cases)} cases, {FILE.stat().st_size // 1000} kB")
