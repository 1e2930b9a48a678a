"""Reads Engram's run folders: results, learning curves, scores, predictions, models and embeddings.

One file, Python 3.9 or later, nothing else needed. With pandas installed, tables are data frames; without, lists of dicts. With
NumPy installed, tensors are arrays; without, objects with dtype, shape and flat data.

    import engram_results as er

    run = er.Run("runs/mine/20260101-120000")
    run.result["training"]["validation"]       # result.json as it is
    er.figures("results/runs")                  # one row per figure of every run below a folder
    run.metrics()                               # the learning curves
    run.model()["encoder.block1.conv.weight"]   # the parameters

On the command line, ``python3 engram_results.py FOLDER...`` prints the figures of all runs below the folders as CSV.
"""

import csv
import json
import math
import struct
import sys
from array import array
from pathlib import Path

try:
    import numpy
except ImportError:
    numpy = None
try:
    import pandas
except ImportError:
    pandas = None

__all__ = ["Run", "Tensor", "find", "figures", "read_safetensors", "table"]


def table(rows):
    """A data frame of rows that are dicts, or the list of them where pandas is not installed."""
    rows = list(rows)
    return rows if pandas is None else pandas.DataFrame(rows)


class Run:
    """A run folder. Files are read when they are asked for."""

    def __init__(self, folder):
        folder = Path(folder)
        self.folder = folder.parent if folder.name == "result.json" else folder
        if not (self.folder / "config.yaml").exists() and not (self.folder / "result.json").exists():
            raise FileNotFoundError(f"{self.folder} is not a run folder: it holds neither config.yaml nor result.json")

    def __repr__(self):
        return f"Run({str(self.folder)!r})"

    @property
    def result(self):
        """The content of result.json: name, network, seed, figures, training, build, machine, config."""
        return self._json("result.json")

    def figures(self):
        """One row for each figure: what was measured, its value and 95 % interval, and the protocol, keys as in result.json."""
        return table(self._figures())

    def _figures(self):
        r = self.result
        for f in r["figures"]:
            row = {"run": str(self.folder), "experiment": r["name"], "network": r["network"], "seed": r["seed"]}
            row.update({k: f.get(k) for k in ("name", "metric", "value", "interval", "calibration_error")})
            if f.get("single"):  # a single episode or sequence has no interval
                row["interval"] = None
            row.update(f["protocol"])
            yield row

    def metrics(self):
        """The lines of metrics.jsonl: reports of training and validations, in the order of their steps."""
        rows = []
        with open(self.folder / "metrics.jsonl", encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):  # a run that is being written may end in half a line
                    rows.append(json.loads(line))
        return table(rows)

    def scores(self):
        """The scores of every test example, by figure: [{"name", "metric", "values"}], values in the figure's unit."""
        out = []
        for s in self._json("scores.json"):
            if s.get("values") is not None:
                out.append({"name": s["name"], "metric": s["metric"], "values": [v / s["per"] for v in s["values"]]})
        return out

    def predictions(self, number=0):
        """The predictions of a test that had ``predictions: true``, by the test's number."""
        with open(self.folder / f"predictions-{number}.csv", encoding="utf-8", newline="") as lines:
            rows = list(csv.DictReader(lines))
        for row in rows:
            for key, kind in (("episode", int), ("query", int), ("probability", float), ("class_probability", float)):
                if key in row:
                    row[key] = kind(row[key])
        return table(rows)

    def model(self):
        """The parameters and buffers of the best model, by name."""
        file = self.folder / "model.safetensors"
        if not file.exists():
            raise FileNotFoundError(
                f"{self.folder} holds no model; train it again with: engram run {self.folder / 'config.yaml'}"
            )
        return read_safetensors(file)[0]

    def _json(self, name):
        with open(self.folder / name, encoding="utf-8") as text:
            return json.load(text)


def find(*folders):
    """The runs with a result at or below folders, sorted by path. Results of ``engram eval`` (below evals) are runs too."""
    found = set()
    for folder in folders:
        found.update(file.parent for file in Path(folder).rglob("result.json"))
    return [Run(folder) for folder in sorted(found)]


def figures(*folders):
    """One row for each figure of every run at or below folders; see Run.figures."""
    return table(row for run in find(*folders) for row in run._figures())


class Tensor:
    """A tensor without NumPy: its values lie flat, the last index the fastest."""

    def __init__(self, dtype, shape, data):
        self.dtype, self.shape, self.data = dtype, tuple(shape), data

    def __repr__(self):
        return f"Tensor({self.dtype}, {self.shape})"

    def __len__(self):
        return self.shape[0]

    def tolist(self):
        """Nested lists."""

        def nest(shape, at):
            if not shape:
                return self.data[at]
            step = math.prod(shape[1:])
            return [nest(shape[1:], at + i * step) for i in range(shape[0])]

        return nest(self.shape, 0)


# The types of a safetensors file: the code of module array, and NumPy's name.
_TYPES = {
    "F64": ("d", "<f8"), "F32": ("f", "<f4"), "F16": (None, "<f2"), "BF16": (None, None),
    "I64": ("q", "<i8"), "I32": ("i", "<i4"), "I16": ("h", "<i2"), "I8": ("b", "i1"), "U8": ("B", "u1"), "BOOL": ("B", "?"),
}


def read_safetensors(file):
    """The tensors of a safetensors file by name, and its notes (strings by name). bfloat16 is returned as float32."""
    data = Path(file).read_bytes()
    if len(data) < 8:
        raise ValueError(f"{file} is no safetensors file: it has {len(data)} bytes")
    (length,) = struct.unpack("<Q", data[:8])
    if length > len(data) - 8:
        raise ValueError(f"{file} is damaged or no safetensors file: its header does not fit")
    header = json.loads(data[8 : 8 + length])
    notes = header.pop("__metadata__", {})
    body = memoryview(data)[8 + length :]
    out = {}
    for name, t in header.items():
        first, last = t["data_offsets"]
        if not 0 <= first <= last <= len(body):
            raise ValueError(f"{file} is damaged: {name} lies outside the file")
        out[name] = _tensor(t["dtype"], t["shape"], body[first:last], f"{file}: {name}")
    return out, notes


def _tensor(dtype, shape, raw, what):
    if dtype not in _TYPES:
        raise ValueError(f"{what} is of the type {dtype}, which this reader does not know")
    code, name = _TYPES[dtype]
    if dtype == "BF16":  # the upper half of a float32
        wide = bytearray(2 * len(raw))
        wide[2::4], wide[3::4] = raw[0::2], raw[1::2]
        dtype, raw, code, name = "F32", wide, "f", "<f4"
    if numpy is not None:
        return numpy.frombuffer(raw, dtype=name).reshape(shape)
    if code is None:  # float16
        values = array("f", (v for (v,) in struct.iter_unpack("<e", raw)))
    else:
        values = array(code)
        values.frombytes(bytes(raw))
        if sys.byteorder == "big":
            values.byteswap()
    if len(values) != math.prod(shape):
        raise ValueError(f"{what} has {len(values)} values for the shape {shape}")
    return Tensor(dtype, shape, values)


def main(folders):
    rows = [row for run in find(*folders) for row in run._figures()]
    if not rows:
        sys.exit(f"there is no result.json below {', '.join(map(str, folders))}")
    keys = list(dict.fromkeys(key for row in rows for key in row))
    out = csv.DictWriter(sys.stdout, keys, lineterminator="\n")
    out.writeheader()
    out.writerows(rows)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: engram_results.py FOLDER...")
    main(sys.argv[1:])
