"""Suites: the records a file becomes, and what is said of a file that is wrong, with its place."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from harness.errors import SuiteError, nearest
from harness.suite import (
    GuardSpec,
    OnlineSpec,
    RewardSpec,
    Suite,
    TaskSpec,
    TermSpec,
    load_suite,
    parse_suite,
)
from harness.types import ScoreInfo, Settings, Spec

SCORES = {
    "bleu": [ScoreInfo("bleu", 0, 100)],
    "rouge": [ScoreInfo(name) for name in ("rouge1", "rouge2", "rougeL")],
    "perplexity": [ScoreInfo("perplexity", 1, math.inf, higher_is_better=False)],
    "selfbleu": [ScoreInfo("selfbleu", scope="corpus"), ScoreInfo("diversity", scope="group")],
    "polite": [ScoreInfo("polite")],
}


class Plugins:
    """A registry of a few names, in the shape of the real one."""

    options: dict[str, type] = {"tokenize": str, "use_stemmer": bool, "dtype": str, "quotes": bool}  # noqa: RUF012

    def names(self, kind):
        return {
            "metric": ["bleu", "perplexity", "rouge", "selfbleu"],
            "reward": ["polite"],
            "model": ["echo", "hf"],
            "task": ["file", "hub", "quickstart"],
            "report": ["csv", "html"],
        }[kind]

    def score_names(self):
        return sorted(info.name for infos in SCORES.values() for info in infos)

    def owner_of(self, score):
        for name, infos in SCORES.items():
            if score in {info.name for info in infos}:
                return Spec("reward" if name == "polite" else "metric", name)
        return None

    def problems(self, spec):
        if spec.name not in self.names(spec.kind):
            return [(None, f"unknown {spec.kind} {spec.name!r}{nearest(spec.name, self.names(spec.kind))}")]
        return [
            (key, f"unknown option {key!r}{nearest(key, self.options)}")
            if key not in self.options
            else (key, f"option {key!r} expects {self.options[key].__name__}, not {value!r}")
            for key, value in spec.options.items()
            if key not in self.options or not isinstance(value, self.options[key])
        ]

    def checked(self, spec):
        problems = self.problems(spec)
        return problems, self.infos(spec) if not problems and spec.kind in ("metric", "reward") else ()

    def infos(self, spec):
        if spec.alias is None:
            return tuple(SCORES[spec.name])
        return tuple(
            replace(i, name=spec.alias if i.name == spec.name else f"{spec.alias}.{i.name}") for i in SCORES[spec.name]
        )


PLUGINS = Plugins()

FULL = """\
name: e2e
tasks:
  - name: e2e
    source: e2e_devset.csv
    fields: {prompt: mr, reference: ref, metadata: [area, food], references: [r1, r2]}
    template: "Describe it.\\n{mr}"
    system: Be brief.
    language: no
    limit: 40
    options: {quotes: false}
  - source: quickstart
models: [hf:smollm2-135m, {hf:./local: {dtype: float32}, as: small}, echo]
generate: {n: 4, temperature: 0.8, max_new_tokens: 64, stop: "\\n", seed: 7}
metrics:
  - bleu
  - rouge: {use_stemmer: true}
  - {bleu: {tokenize: zh}, as: bleu_zh}
  - bleu: {tokenize: char, as: bleu_char}
  - perplexity:
  - polite
reward:
  combine: product
  terms:
    - {score: rougeL, weight: 0.5}
    - {score: diversity, weight: 2, as: varied}
    - {score: perplexity, range: [1, 1e3], required: false, higher_is_better: true}
  guard:
    - {score: bleu_zh, min: 1}
    - {score: polite, max: 0.5, required: false}
gate:
  rules:
    - {score: rougeL, max_drop: 0.01}
    - {score: bleu, level: corpus, max_drop: 1.0}
    - {score: reward, min: 0.4}
    - {score: reward.varied, min: 0.4, required: false}
reports: [html, {csv: {}}]
online: {fields: {references: references}, group_size: 16}
"""


def problems_of(text, *, registry=PLUGINS, **kwargs):
    """The lines of the error, which must be one per problem."""
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, source="s.yaml", registry=registry, **kwargs)
    return str(caught.value).splitlines()


def test_a_full_file_becomes_records():
    suite = parse_suite(FULL, registry=PLUGINS)
    assert suite.name == "e2e"
    assert suite.tasks == (
        TaskSpec(
            "e2e",
            "e2e_devset.csv",
            {"prompt": "mr", "reference": "ref", "metadata": ("area", "food"), "references": ("r1", "r2")},
            template="Describe it.\n{mr}",
            system="Be brief.",
            language="no",
            limit=40,
            options={"quotes": False},
        ),
        TaskSpec("quickstart", "quickstart"),
    )
    assert suite.models == (
        Spec("model", "hf", "smollm2-135m"),
        Spec("model", "hf", "./local", {"dtype": "float32"}, "small"),
        Spec("model", "echo"),
    )
    assert suite.generate == Settings(n=4, temperature=0.8, max_new_tokens=64, stop=("\n",), seed=7)
    assert suite.metrics == (
        Spec("metric", "bleu"),
        Spec("metric", "rouge", "", {"use_stemmer": True}),
        Spec("metric", "bleu", "", {"tokenize": "zh"}, "bleu_zh"),
        Spec("metric", "bleu", "", {"tokenize": "char"}, "bleu_char"),
        Spec("metric", "perplexity"),
        Spec("reward", "polite"),
    )
    assert suite.reward_spec == RewardSpec(
        (
            TermSpec("rougeL", "rougeL", 0.5),
            TermSpec("varied", "diversity", 2.0),
            TermSpec("perplexity", "perplexity", 1.0, (1.0, 1000.0), higher_is_better=True, required=False),
        ),
        "product",
        (GuardSpec("bleu_zh", min=1.0), GuardSpec("polite", max=0.5, required=False)),
    )
    assert suite.gate is not None
    assert suite.gate["rules"][1] == {"score": "bleu", "level": "corpus", "max_drop": 1.0}
    assert [r.name for r in suite.reports] == ["html", "csv"]
    assert suite.online == OnlineSpec({"references": "references"}, 16)
    assert suite.text == FULL
    assert pickle.loads(pickle.dumps(suite)) == suite


@pytest.mark.parametrize(
    "text",
    [
        "name: s\nreward: {terms: [{score: polite}]}",
        "name: s\ntasks: [{source: x.csv}]\nmodels: [echo]",
        "name: s\nmetrics: [bleu]",
        "name: s\nreward: {combine: min, terms: [{score: polite}, {score: diversity}]}",
        "name: s\nreward: {terms: [{score: polite, weight: 0}, {score: diversity}]}",
        "name: s\nreports: []\nmodels: []\ntasks: []",
        "name: s\nmetrics: []\ngenerate: {n: 4, num_beams: 4}",
        "name: s\nmetrics: []\ngenerate: {n: 4, temperature: 1e-1, stop: [a, b], top_p: 1, top_k: 50}",
        "name: s\ntasks: [{source: data/x}, {source: 'hub:org/y'}, {source: /a/b.jsonl, name: b2}]",
    ],
)
def test_small_suites_are_valid(text):
    assert parse_suite(text, registry=PLUGINS).name == "s"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("quickstart", "quickstart"),
        ("e2e_devset.csv", "e2e_devset"),
        ("/data/e2e/dev set.v2.jsonl", "dev_set.v2"),
        ("hub:org/name", "name"),
        ("file:data/x.tsv", "x"),
        ("C:\\data\\x.csv", "x"),
        ("20news.csv", "task_20news"),
        ("data/中文.csv", "task"),
        ("data/", "data"),
    ],
)
def test_a_task_is_called_after_its_source(source, name):
    text = f"name: s\ntasks:\n  - source: '{source}'"
    assert parse_suite(text, check=False).tasks[0].name == name


# One mistake each: the text after `name: s` on line 1, and the start of the message.
PLUGIN = [
    ("metrics: [blue]", "2:11: metrics[0]: unknown metric 'blue'; did you mean 'bleu'?"),
    ("metrics: [{bleuu: {}}]", "2:12: metrics[0].bleuu: unknown metric 'bleuu'; did you mean 'bleu'?"),
    ("metrics:\n  - bleu:\n      tokenise: zh", "4:17: metrics[0].bleu.tokenise: unknown option 'tokenise'; did you m"),
    ("metrics: [{bleu: {tokenize: 3}}]", "2:29: metrics[0].bleu.tokenize: option 'tokenize' expects str, not 3"),
    ("models: [hff:x]\nmetrics: []", "2:10: models[0]: unknown model 'hff'; did you mean 'hf'?"),
    ("models: [{hf:x: {dtyp: a}}]\nmetrics: []", "2:24: models[0].hf:x.dtyp: unknown option 'dtyp'; did you mean '"),
    ("reports: [htm]\nmetrics: []", "2:11: reports[0]: unknown report 'htm'; did you mean 'html'?"),
    ("tasks: [{source: quickstrat}]", "2:18: tasks[0].source: unknown task 'quickstrat'; did you mean 'quickstart'"),
    ("tasks: [{source: hubb:a/b}]", "2:18: tasks[0].source: unknown task 'hubb'; did you mean 'hub'?"),
    ("tasks: [{source: 'https://x.org/a.csv'}]", "2:18: tasks[0].source: 'https://x.org/a.csv' is a URL, and none"),
    ("tasks: [{source: x.csv, options: {quots: 1}}]", "2:42: tasks[0].options.quots: unknown option 'quots'; did y"),
    ("tasks: [{source: quickstart, options: {quotes: 1}}]", "2:48: tasks[0].options.quotes: option 'quotes' expect"),
    (
        "metrics: [{bleu: , as: rouge1}, rouge]",
        "2:33: metrics[1]: gives 'rouge1', as 'rouge1' does; give one of them another `as:`",
    ),
    (
        "reward:\n  terms:\n    - {score: polite}\n    - {score: polit, as: b}",
        "5:15: reward.terms[1].score: unknown score 'polit'; did you mean 'polite'?",
    ),
    ("metrics: [{bleu: , as: zh}]\nreward: {terms: [{score: zhh}]}", "3:26: reward.terms[0].score: unknown score '"),
    ("reward: {terms: [{score: selfbleu}]}", "2:26: reward.terms[0].score: 'selfbleu' is a corpus score: no compl"),
    (
        "metrics: [selfbleu]\nreward: {terms: [{score: diversity}], guard: [{score: selfbleu, min: 0}]}",
        "3:55: reward.guard[0].score: 'selfbleu' is a corpus score: no completion has one, so it cannot enter a reward",
    ),
    (
        "reward: {terms: [{score: perplexity}]}",
        "2:18: reward.terms[0]: score 'perplexity' is unbounded (1 to inf): give `range: [low, high]`",
    ),
    ("reward: {terms: [{score: reward}]}", "2:26: reward.terms[0].score: "),
    (
        "metrics: [{bleu: , as: rouge1}]\nreward: {terms: [{score: rougeL}]}",
        "3:26: reward.terms[0].score: 'rougeL' brings the metric 'rouge', whose 'rouge1' another of the suite gives;",
    ),
    (
        "metrics: [bleu]\ngate: {rules: [{score: rougeL, min: 1}]}",
        "3:24: gate.rules[0].score: no metric of this suite gives 'rougeL': add 'rouge' to `metrics`",
    ),
    ("metrics: [bleu]\ngate: {rules: [{score: bleus, min: 1}]}", "3:24: gate.rules[0].score: unknown score 'bleu"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), PLUGIN, ids=[m[:50] for _, m in PLUGIN])
def test_mistakes_that_the_registry_knows(text, message):
    lines = problems_of(f"name: s\n{text}")
    assert any(line.startswith(f"s.yaml:{message}") for line in lines)
    reserved = "score: reward}" in text  # as a term's name it is refused too
    assert len(lines) == (2 if reserved else 1)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[1]", "s.yaml:1:1: expected a mapping that starts with `name:`, got a list"),
        ("just text", "s.yaml:1:1: expected a mapping that starts with `name:`, got 'just text'"),
        ("metrics: []", "s.yaml:1:1: missing key 'name'"),
        ("name: 3\nmetrics: []", "s.yaml:1:7: name: expected text, got 3; put it in quotes"),
        ("name: ../up\nmetrics: []", "s.yaml:1:7: name: '../up' is no name: a name starts with a letter and holds"
         " letters, digits, _ . -"),
        ("name: s", "s.yaml:1:1: nothing to do: give `tasks` and `models`, `metrics`, or a `reward`"),
        ("name: s\nmetrics: [bleu", "s.yaml:2:15: broken YAML: did not find expected ',' or ']'"),
    ],
)  # fmt: skip
def test_mistakes_of_the_whole(text, line):
    assert problems_of(text) == [line]


def test_all_mistakes_come_in_one_message_in_the_order_of_the_file():
    text = """\
name: s
reports: [htm]
tasks:
  - {source: x.csv, limit: .inf, language: no}
  - {source: quickstrat, limit: 0}
reward:
  combine: mean
  terms:
    - {score: ploite, weight: -1}
    - {score: polit}
    - {wieght: 1}
generate: {n: 0, seed: 1, seed: 2, temprature: 1}
metrics: [bleu, {rouge: {use_stemer: true}}]
models: 3
"""
    assert problems_of(text, overrides=["online.group_size=0", "generat.n=1", "tasks.9.limit=1"]) == [
        "s.yaml:2:11: reports[0]: unknown report 'htm'; did you mean 'html'?",
        "s.yaml:4:28: .inf is not a finite number",
        "s.yaml:5:14: tasks[1].source: unknown task 'quickstrat'; did you mean 'quickstart'? (a file needs a "
        "suffix such as .csv)",
        "s.yaml:5:33: tasks[1].limit: must be at least 1, got 0",
        "s.yaml:7:12: reward.combine: unknown value 'mean'; expected weighted_mean or weighted_sum or product or min",
        "s.yaml:9:15: reward.terms[0].score: unknown score 'ploite'; did you mean 'polite'?",
        "s.yaml:9:31: reward.terms[0].weight: a weight is at least 0; for a score whose low values are good set "
        "`higher_is_better: false`, got -1",
        "s.yaml:10:15: reward.terms[1].score: unknown score 'polit'; did you mean 'polite'?",
        "s.yaml:11:7: reward.terms[2]: missing key 'score'",
        "s.yaml:11:8: reward.terms[2]: unknown key 'wieght'; did you mean 'weight'?",
        "s.yaml:12:15: generate.n: must be at least 1, got 0",
        "s.yaml:12:27: duplicate key 'seed'; it is first at 12:18",
        "s.yaml:12:36: generate: unknown key 'temprature'; did you mean 'temperature'?",
        "s.yaml:13:38: metrics[1].rouge.use_stemer: unknown option 'use_stemer'; did you mean 'use_stemmer'?",
        "s.yaml:14:9: models: expected a list, got 3",
        "--set generat.n=1: unknown key 'generat'; did you mean 'generate'?",
        "--set online.group_size=0: online.group_size: must be at least 1, got 0",
        "--set tasks.9.limit=1: tasks is a list, and '9' is no place in it (there is 0 to 1)",
    ]


def test_without_check_plugins_may_be_unknown():
    suite = parse_suite("name: s\nmetrics: [nowhere]\nreward: {terms: [{score: nothing}]}", check=False)
    assert suite.metrics == (Spec("metric", "nowhere"),)


def test_a_file_is_read_with_its_folder(tmp_path):
    (tmp_path / "s.yaml").write_text("name: s\nmetrics: [blue]\n", encoding="utf-8")
    assert load_suite(tmp_path / "s.yaml", check=False).folder == tmp_path.resolve()
    with pytest.raises(SuiteError, match=r"s\.yaml:2:11: metrics\[0\]: unknown metric 'blue'"):
        load_suite(str(tmp_path / "s.yaml"), registry=PLUGINS)
    with pytest.raises(SuiteError, match=r"absent\.yaml: no such file"):
        load_suite(tmp_path / "absent.yaml", check=False)


OVERRIDES = [
    ("generate.n=2", lambda s: s.generate.n == 2),
    ("generate={temperature: 0.5}", lambda s: s.generate == Settings(temperature=0.5)),
    ("tasks.0.limit=5", lambda s: s.tasks[0].limit == 5),
    ("tasks.0.template=null", lambda s: s.tasks[0].template is None),
    ("tasks.1.fields.prompt=a=b", lambda s: s.tasks[1].fields == {"prompt": "a=b"}),
    ("models=[echo]", lambda s: s.models == (Spec("model", "echo"),)),
    ("models.1.as=tiny", lambda s: s.models[1].alias == "tiny"),
    ("metrics.1.rouge.use_stemmer=false", lambda s: s.metrics[1].options == {"use_stemmer": False}),
    ("reward.terms.0.weight=1e-1", lambda s: s.reward_spec.terms[0].weight == 0.1),
    ("name=other", lambda s: s.name == "other"),
    (" online.group_size = 4", lambda s: s.online.group_size == 4),
]


@pytest.mark.parametrize(("text", "holds"), OVERRIDES)
def test_overrides(text, holds):
    suite = parse_suite(FULL, registry=PLUGINS, overrides=[text])
    assert holds(suite)
    assert suite.text == FULL
    assert not holds(parse_suite(FULL, registry=PLUGINS))


def test_overrides_apply_in_order_and_make_what_is_missing():
    suite = parse_suite(
        "name: s\nmetrics: []\ngenerate:\n", overrides=["generate.seed=1", "generate.seed=2"], check=False
    )
    assert suite.generate == Settings(seed=2)


def test_an_override_of_one_alias_leaves_the_other():
    text = "name: s\ntasks: [&t {source: a.csv}, *t]\n"
    suite = parse_suite(text, overrides=["tasks.1.name=b"], check=False)
    assert [task.name for task in suite.tasks] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("generate.temprature=1", "--set generate.temprature=1: generate: unknown key 'temprature'; did you mean"),
        ("generate.seed=", "--set generate.seed=: generate.seed: expected a whole number, got nothing"),
        ("generate.seed=x", "--set generate.seed=x: generate.seed: expected a whole number, got 'x'"),
        ("generate.seed=.nan", "--set generate.seed=.nan: .nan is not a finite number"),
        ("generate.seed=[1", "--set generate.seed=[1: broken YAML: did not find expected"),
        ("generate.seed", "--set generate.seed: expected KEY=VALUE, such as generate.n=2"),
        ("a" + ".a" * 5000 + "=1", "--set a.a.a.a.a"),
        ("=3", "--set =3: expected KEY=VALUE, such as generate.n=2"),
        ("generate..n=3", "--set generate..n=3: expected KEY=VALUE, such as generate.n=2"),
        ("tasks.x.limit=3", "--set tasks.x.limit=3: tasks is a list, and 'x' is no place in it (there is 0 to 1)"),
        ("tasks.-1.limit=3", "--set tasks.-1.limit=3: tasks is a list, and '-1' is no place in it (there is 0 to 1)"),
        ("metrics.0.bleu.tokenize=zh", "--set metrics.0.bleu.tokenize=zh: metrics.0 is 'bleu', which holds no 'bleu'"),
        ("name.x=zh", "--set name.x=zh: name is 'e2e', which holds no 'x'"),
        ("metrics.1.rouge.use_stemer=true", "--set metrics.1.rouge.use_stemer=true: metrics[1].rouge.use_stemer: unk"),
    ],
)  # fmt: skip
def test_wrong_overrides(text, line):
    (found,) = problems_of(FULL, overrides=[text])
    assert found.startswith(line)


def test_metric_specs_are_the_metrics_and_what_the_reward_needs():
    suite = parse_suite(FULL, registry=PLUGINS)
    specs = suite.metric_specs(PLUGINS)
    assert specs[: len(suite.metrics)] == suite.metrics
    assert specs[len(suite.metrics) :] == (Spec("metric", "selfbleu"),)
    text = (
        "name: s\nreward: {terms: [{score: rouge1}, {score: rougeL}, {score: polite}], guard: [{score: bleu, min: 1}]}"
    )
    assert parse_suite(text, registry=PLUGINS).metric_specs(PLUGINS) == (
        Spec("metric", "rouge"),
        Spec("reward", "polite"),
        Spec("metric", "bleu"),
    )
    unknown = parse_suite("name: s\nreward: {terms: [{score: nothing}]}", check=False)
    with pytest.raises(SuiteError, match="nothing gives the score 'nothing'"):
        unknown.metric_specs(PLUGINS)


def test_a_suite_without_reward_says_so():
    with pytest.raises(SuiteError, match="suite 's' has no reward: add `reward:` with `terms:`"):
        Suite("s").reward()


_IMPORTS = """
import sys
import harness.suite
early = {"numpy", "pydantic", "yaml", "torch", "transformers", "pandas"} & set(sys.modules)
harness.suite.parse_suite("name: s\\nmetrics: [bleu]", check=False)
late = {"numpy", "torch", "transformers", "pandas"} & set(sys.modules)
print(sorted(early), sorted(late))
"""


def test_importing_suites_is_cheap():
    done = subprocess.run([sys.executable, "-c", _IMPORTS], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[] []"
