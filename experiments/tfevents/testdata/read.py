"""Writes to read.json what TensorBoard's own reader makes of the event file beside it. Needs the package tensorboard:

    pip install tensorboard && python3 read.py
"""

import json
import pathlib

from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

here = pathlib.Path(__file__).parent
events = []
for event in LegacyEventFileLoader(str(here / "events.out.tfevents.engram")).Load():
    seen = {"version": event.file_version, "wall_time": event.wall_time, "step": event.step, "scalars": None}
    if event.HasField("summary"):
        seen["scalars"] = {v.tag: v.simple_value for v in event.summary.value}
    events.append(seen)
(here / "read.json").write_text(json.dumps(events, indent=1, ensure_ascii=False) + "\n")
