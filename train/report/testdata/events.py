"""Writes events.tfevents with TensorBoard's own classes.

Run in a Python that has tensorboard (pip install tensorboard):

    python events.py

Every wall time is fixed, so that the bytes can be compared.
"""
import sys
from pathlib import Path

import tensorboard
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

WALL = 1700000000.25


def scalar(tag, step, value):
    s = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)])
    return event_pb2.Event(wall_time=WALL, step=step, summary=s)


events = [
    event_pb2.Event(wall_time=WALL, file_version="brain.Event:2"),
    scalar("loss/train", 1, 2.5),
    scalar("loss/train", 300, 0.1),
    scalar("accuracy/val", 300, 0.9375),
    event_pb2.Event(wall_time=WALL, step=200, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START)),
    scalar("loss/train", 200, float("nan")),
]

here = Path(__file__).parent
with open(here / "events.tfevents", "wb") as f:
    writer = RecordWriter(f)
    for e in events:
        writer.write(e.SerializeToString())
    writer.flush()
(here / "events.txt").write_text(f"tensorboard {tensorboard.__version__}, python {sys.version.split()[0]}\n")
