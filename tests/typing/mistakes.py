"""What type checkers refuse: each line marked `# wrong` holds one mistake."""

from __future__ import annotations

import harness
from harness import Completion, Metric, Model, Sample, ScoreInfo

sample = Sample(id=1)  # wrong
completion = Completion("a", status="fine")  # wrong
info = ScoreInfo("x", scope="document")  # wrong
sample.id = "2"  # wrong
metric: Metric = print  # wrong
model: Model = object()  # wrong
total: float = harness.load_suite("s").reward()([])[0].total  # wrong
harness.evaluate()  # wrong
