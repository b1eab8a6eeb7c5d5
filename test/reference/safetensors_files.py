"""Files of the safetensors library in many dtypes, and broken ones with the verdict of the library.

    python safetensors_files.py            writes ../pretrained/fixtures/safetensors
"""

import base64
import json
import shutil
import struct
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load, save_file

FOLDER = Path(__file__).parent.parent / "pretrained" / "fixtures" / "safetensors"

special = [0.0, -0.0, 1.0, -2.5, float("inf"), float("-inf"), float("nan")]
# The smallest normal and subnormal values and the largest of each dtype.
bounds = {torch.float16: [2**-14, 2**-24, 65504.0], torch.bfloat16: [2**-126, 2**-133, 3.3895313892515355e38]}

TENSORS = {
    "f64": torch.tensor([*special, 1e-300, torch.pi], dtype=torch.float64),
    "f32": torch.tensor([*special, 1.1754943508222875e-38, 1e-45, 3.4028234663852886e38]),
    "f16": torch.tensor([*special, *bounds[torch.float16]], dtype=torch.float16),
    "bf16": torch.tensor([*special, *bounds[torch.bfloat16]], dtype=torch.bfloat16),
    "i64": torch.tensor([0, -1, 2**53 + 1, -(2**63), 2**63 - 1]),
    "i32": torch.tensor([0, -1, 2**31 - 1, -(2**31)], dtype=torch.int32),
    "i16": torch.tensor([0, -1, 2**15 - 1], dtype=torch.int16),
    "i8": torch.tensor([0, -1, 127], dtype=torch.int8),
    "u8": torch.tensor([0, 1, 255], dtype=torch.uint8),
    "bool": torch.tensor([True, False, True]),
    "scalar": torch.tensor(7.5),
    "empty": torch.zeros(0, 4),
    "matrix.weight": torch.arange(6.0).reshape(2, 3),
    "odd.bf16": torch.tensor([1.5, -3.0, 0.1], dtype=torch.bfloat16),
    "name with ä, 漢字 and \"quotes\"": torch.tensor([1.0, 2.0]),
}


def plain(tensor):
    """Values as JSON can hold them: numbers too large for JavaScript, and those that are not finite, as text."""
    values = tensor.reshape(-1).tolist()
    if tensor.dtype == torch.int64:
        return [str(value) for value in values]
    return [{"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(str(value), value) for value in values]


def raw(header, values=b"", length=None):
    """A file by hand: eight bytes of length, the header, the values."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values


def f32(start, end, shape=None):
    return {"dtype": "F32", "shape": [(end - start) // 4] if shape is None else shape, "data_offsets": [start, end]}


eight = bytes(8)
twice = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'

# The names say what is wrong, or odd.
FILES = {
    "nothing": b"",
    "seven-bytes": bytes(7),
    "header-of-no-length": raw(b""),
    "header-longer-than-the-file": raw(b"{}", length=1000),
    "header-longer-than-the-limit": raw(b"{}", length=100_000_001),
    "header-of-2-to-the-63": raw(b"{}", length=2**63),
    "header-is-an-array": raw([]),
    "header-is-null": raw(b"null"),
    "header-is-cut": raw(b'{"a":'),
    "header-is-not-utf8": raw(b'{"\xff":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', eight),
    "header-begins-with-a-space": raw(b' {"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', eight),
    "header-ends-with-spaces": raw(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   ', eight),
    "header-and-more": raw(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}{}', eight),
    "no-tensors": raw({}),
    "no-tensors-but-values": raw({}, eight),
    "entry-is-null": raw({"a": None}, eight),
    "entry-without-dtype": raw({"a": {"shape": [2], "data_offsets": [0, 8]}}, eight),
    "entry-with-a-key-more": raw({"a": f32(0, 8) | {"more": 1}}, eight),
    "unknown-dtype": raw({"a": f32(0, 8) | {"dtype": "F31"}}, eight),
    "dtype-in-small-letters": raw({"a": f32(0, 8) | {"dtype": "f32"}}, eight),
    "shape-with-a-negative": raw({"a": f32(0, 8, [-2])}, eight),
    "shape-with-a-fraction": raw({"a": f32(0, 8, [2.5])}, eight),
    "shape-is-text": raw({"a": f32(0, 8, "2")}, eight),
    "shape-overflows": raw({"a": f32(0, 8, [2**32, 2**32, 2])}, eight),
    "shape-too-small-for-its-place": raw({"a": f32(0, 8, [1])}, eight),
    "shape-too-large-for-its-place": raw({"a": f32(0, 8, [3])}, eight),
    "offsets-backwards": raw({"a": f32(8, 0, [2])}, eight),
    "offsets-negative": raw({"a": f32(-8, 0, [2])}, eight),
    "offsets-of-three": raw({"a": f32(0, 8) | {"data_offsets": [0, 4, 8]}}, eight),
    "offsets-beyond-the-end": raw({"a": f32(0, 16)}, eight),
    "values-cut": raw({"a": f32(0, 8)}, bytes(7)),
    "values-left-over": raw({"a": f32(0, 8)}, bytes(12)),
    "hole-at-the-start": raw({"a": f32(4, 8)}, eight),
    "hole-between": raw({"a": f32(0, 4), "b": f32(8, 12)}, bytes(12)),
    "overlap": raw({"a": f32(0, 8), "b": f32(4, 12)}, bytes(12)),
    "same-place-twice": raw({"a": f32(0, 8), "b": f32(0, 8)}, eight),
    "name-twice": raw(twice, eight),
    "name-twice-at-one-place": raw(twice.replace(b"[4,8]", b"[0,4]"), bytes(4)),
    "names-out-of-order": raw({"b": f32(4, 8), "a": f32(0, 4)}, eight),
    "metadata-with-a-number": raw({"__metadata__": {"a": 1}, "a": f32(0, 8)}, eight),
    "metadata-is-null": raw({"__metadata__": None, "a": f32(0, 8)}, eight),
    "metadata-is-text": raw({"__metadata__": "a", "a": f32(0, 8)}, eight),
    "metadata-twice": raw(b'{"__metadata__":{"a":"1"},"__metadata__":{"b":"2"}}'),
    "place-not-a-multiple-of-four": raw({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "b": f32(1, 9)}, bytes(9)),
    "scalar": raw({"a": f32(0, 4, [])}, bytes(4)),
    "empty-tensor-in-front": raw({"a": f32(0, 0, [0]), "b": f32(0, 8)}, eight),
    "name-is-proto": raw(b'{"__proto__":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', eight),
    "name-is-empty": raw({"": f32(0, 8)}, eight),
}


def judged(content):
    """The file, and the verdict of the library: null where it reads it, else what it says."""
    said = None
    try:
        load(content)
    except safetensors.SafetensorError as error:
        said = str(error)
    return {"refused": said is not None, "reference": said, "base64": base64.b64encode(content).decode()}


if __name__ == "__main__":
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    save_file(TENSORS, FOLDER / "many-dtypes.safetensors", {"made by": "a test", "über": "漢字 \n 🧊"})
    values = {name: {"shape": list(tensor.shape), "values": plain(tensor)} for name, tensor in TENSORS.items()}
    (FOLDER / "many-dtypes.json").write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n")
    files = {name: judged(content) for name, content in FILES.items()}
    broken = {"made_with": f"safetensors {safetensors.__version__}", "files": files}
    (FOLDER / "broken.json").write_text(json.dumps(broken, indent=1, ensure_ascii=False) + "\n")
    for name, file in files.items():
        print(f"{name:32} {file['reference']}")
