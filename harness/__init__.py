"""Evaluation and rewards for language-model alignment, as one object.

What a plugin or a program needs is here; everything is imported at first use, so that `import harness` is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.assess import CorpusRow
    from harness.authoring import corpus_score, metric_from, prompt_text, scores_from
    from harness.correlation import Resamples, correlations, krippendorff_alpha, row_correlations
    from harness.csvsafe import csv_line
    from harness.display import escaped, visible
    from harness.errors import (
        DataError,
        HarnessError,
        IncompleteError,
        PluginError,
        RunError,
        SuiteError,
        UsageError,
    )
    from harness.hookspecs import (
        RegisterMetric,
        RegisterModel,
        RegisterReport,
        RegisterReward,
        RegisterTask,
        hookimpl,
    )
    from harness.interfaces import AnalysingMetric, CorpusMetric, CorpusScopeMetric, Metric, Model, Report, Task
    from harness.records import read_generations
    from harness.requires import require
    from harness.rewards import CompositeReward
    from harness.scoring import score
    from harness.stats import percentile_interval
    from harness.store import Cell, Group, Rendered, Run, open_run
    from harness.strictjson import json_lines, raw_lines, shown, unreadable
    from harness.suite import Suite, load_suite
    from harness.text import clean_text
    from harness.types import (
        STATUSES,
        AnalysisTable,
        Batch,
        Completion,
        CorpusRule,
        Generation,
        Json,
        Memo,
        Message,
        NoValue,
        Preference,
        Request,
        Reward,
        Sample,
        ScoreInfo,
        Scores,
        Settings,
        Status,
        Whole,
    )

__version__ = "0.1.0"

_HOME = {
    "harness.assess": ("CorpusRow",),
    "harness.authoring": ("corpus_score", "metric_from", "prompt_text", "scores_from"),
    "harness.correlation": ("Resamples", "correlations", "krippendorff_alpha", "row_correlations"),
    "harness.csvsafe": ("csv_line",),
    "harness.display": ("escaped", "visible"),
    "harness.errors": (
        "DataError",
        "HarnessError",
        "IncompleteError",
        "PluginError",
        "RunError",
        "SuiteError",
        "UsageError",
    ),
    "harness.hookspecs": (
        "RegisterMetric",
        "RegisterModel",
        "RegisterReport",
        "RegisterReward",
        "RegisterTask",
        "hookimpl",
    ),
    "harness.interfaces": (
        "AnalysingMetric",
        "CorpusMetric",
        "CorpusScopeMetric",
        "Metric",
        "Model",
        "Report",
        "Task",
    ),
    "harness.records": ("read_generations",),
    "harness.rewards": ("CompositeReward",),
    "harness.store": ("Cell", "Group", "Rendered", "Run", "open_run"),
    "harness.requires": ("require",),
    "harness.scoring": ("score",),
    "harness.stats": ("percentile_interval",),
    "harness.strictjson": ("json_lines", "raw_lines", "shown", "unreadable"),
    "harness.suite": ("Suite", "load_suite"),
    "harness.text": ("clean_text",),
    "harness.types": (
        "STATUSES",
        "AnalysisTable",
        "Batch",
        "Completion",
        "CorpusRule",
        "Generation",
        "Json",
        "Memo",
        "Message",
        "NoValue",
        "Preference",
        "Request",
        "Reward",
        "Sample",
        "ScoreInfo",
        "Scores",
        "Settings",
        "Status",
        "Whole",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [  # noqa: RUF022  # by topic, in the order of `_HOME`
    "CorpusRow",
    "corpus_score", "metric_from", "prompt_text", "scores_from",
    "Resamples", "correlations", "krippendorff_alpha", "row_correlations",
    "csv_line",
    "escaped", "visible",
    "DataError", "HarnessError", "IncompleteError", "PluginError", "RunError", "SuiteError", "UsageError",
    "RegisterMetric", "RegisterModel", "RegisterReport", "RegisterReward", "RegisterTask", "hookimpl",
    "AnalysingMetric", "CorpusMetric", "CorpusScopeMetric", "Metric", "Model", "Report", "Task",
    "read_generations",
    "CompositeReward",
    "Cell", "Group", "Rendered", "Run", "open_run",
    "require",
    "score",
    "percentile_interval",
    "json_lines", "raw_lines", "shown", "unreadable",
    "Suite", "load_suite",
    "clean_text",
    "STATUSES", "AnalysisTable", "Batch", "Completion", "CorpusRule", "Generation", "Json", "Memo", "Message", "NoValue",
    "Preference", "Request", "Reward", "Sample", "ScoreInfo", "Scores", "Settings", "Status", "Whole",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
