"""Tests of engram_results.py: python3 -m unittest discover python, from the top folder of the project."""

import contextlib
import io
import json
import struct
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import engram_results as er  # noqa: E402

MODEL = HERE.parent / "models" / "quickstart-protonet"
RECORDS = HERE.parent / "results" / "runs"


def rows(table):
    return table if er.pandas is None else table.to_dict("records")


def flat(tensor):
    return list(tensor.data) if isinstance(tensor, er.Tensor) else tensor.reshape(-1).tolist()


def written(header, body):
    file = tempfile.NamedTemporaryFile(suffix=".safetensors", delete=False)
    text = json.dumps(header).encode()
    with file:
        file.write(struct.pack("<Q", len(text)) + text + body)
    return Path(file.name)


class Runs(unittest.TestCase):
    def test_result(self):
        run = er.Run(MODEL)
        result = json.loads((MODEL / "result.json").read_text())
        self.assertEqual(run.result, result)
        self.assertEqual(er.Run(MODEL / "result.json").folder, MODEL)
        got = rows(run.figures())
        self.assertEqual([r["value"] for r in got], [f["value"] for f in result["figures"]])
        self.assertEqual((got[0]["dataset"], got[0]["way"], got[0]["seed"]), ("strokes", 5, 1))
        with self.assertRaisesRegex(FileNotFoundError, "is not a run folder"):
            er.Run(HERE)

    def test_metrics_and_scores(self):
        run = er.Run(MODEL)
        metrics = rows(run.metrics())
        best = [m for m in metrics if m.get("best") is True][-1]
        self.assertAlmostEqual(100 * best["validation_accuracy"], run.result["training"]["validation"])
        scores = run.scores()[0]
        figure = run.result["figures"][0]
        self.assertEqual(len(scores["values"]), figure["protocol"]["episodes"])
        self.assertAlmostEqual(sum(scores["values"]) / len(scores["values"]), figure["value"])

    def test_every_committed_run(self):
        runs = er.find(RECORDS)
        self.assertGreater(len(runs), 30)
        for run in runs:
            self.assertTrue(rows(run.figures()))
            if (run.folder / "metrics.jsonl").exists():
                run.metrics()
            if (run.folder / "scores.json").exists():
                run.scores()
        with self.assertRaisesRegex(FileNotFoundError, "train it again with: engram run"):
            runs[0].model()

    def test_command_line(self):
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            er.main([MODEL.parent])
        lines = text.getvalue().splitlines()
        self.assertTrue(lines[0].startswith("run,experiment,network,seed,name,metric,value,interval"))
        self.assertEqual(len(lines), 1 + len(rows(er.figures(MODEL.parent))))


class Tensors(unittest.TestCase):
    def test_model(self):
        model = er.Run(MODEL).model()
        weight = model["encoder.block1.conv.weight"]
        self.assertEqual(tuple(weight.shape), (64, 1, 3, 3))
        self.assertEqual(len(weight.tolist()), 64)
        self.assertEqual(len(weight.tolist()[0][0][0]), 3)
        tensors, notes = er.read_safetensors(MODEL / "model.safetensors")
        self.assertEqual(notes["network"], "protonet")
        self.assertEqual(set(tensors), set(model))

    def test_types(self):
        values = struct.pack("<2f", 1.5, -2) + struct.pack("<2q", 7, -8) + struct.pack("<2e", 0.5, 3) + b"\xc0\x3f\x00\xc0" + b"\x01\x00"
        file = written({
            "__metadata__": {"note": "x"},
            "f": {"dtype": "F32", "shape": [2, 1], "data_offsets": [0, 8]},
            "i": {"dtype": "I64", "shape": [2], "data_offsets": [8, 24]},
            "h": {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]},
            "b": {"dtype": "BF16", "shape": [2], "data_offsets": [28, 32]},
            "t": {"dtype": "BOOL", "shape": [2], "data_offsets": [32, 34]},
            "one": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
        }, values)
        tensors, notes = er.read_safetensors(file)
        self.assertEqual(notes, {"note": "x"})
        self.assertEqual(tensors["f"].tolist(), [[1.5], [-2]])
        self.assertEqual(tensors["i"].tolist(), [7, -8])
        self.assertEqual(flat(tensors["h"]), [0.5, 3])
        self.assertEqual(flat(tensors["b"]), [1.5, -2])
        self.assertEqual([bool(v) for v in flat(tensors["t"])], [True, False])
        self.assertEqual(tensors["one"].tolist(), 1.5)
        file.unlink()

    def test_damaged(self):
        whole = (MODEL / "model.safetensors").read_bytes()
        for text in (b"", whole[:20], whole[:5000], b"\xff" * 100):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "x.safetensors"
                file.write_bytes(text)
                with self.assertRaises(ValueError):
                    er.read_safetensors(file)
        file = written({"x": {"dtype": "F8", "shape": [1], "data_offsets": [0, 1]}}, b"\x00")
        with self.assertRaisesRegex(ValueError, "which this reader does not know"):
            er.read_safetensors(file)
        file.unlink()


class Notebook(unittest.TestCase):
    def test_its_cells_run(self):
        notebook = json.loads((HERE / "example.ipynb").read_text())
        scope = {"__name__": "notebook"}
        with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(HERE) if hasattr(contextlib, "chdir") else _chdir(HERE):
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    self.assertEqual(cell["outputs"], [], "the notebook is kept without outputs")
                    exec(compile("".join(cell["source"]), "example.ipynb", "exec"), scope)


@contextlib.contextmanager
def _chdir(folder):
    import os

    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    unittest.main()
