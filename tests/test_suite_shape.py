"""What is said of a suite whose keys, types or ranges are wrong, whatever plugins there are."""

from __future__ import annotations

import pytest

from harness.errors import SuiteError
from harness.suite import parse_suite

# One mistake each: the text after `name: s` on line 1, and the start of the message.
SHAPE = [
    ("task: []", "2:1: unknown key 'task'; did you mean 'tasks'?"),
    ("metrics: [bleu]\nmetrisc: []", "3:1: unknown key 'metrisc'; did you mean 'metrics'?"),
    ("metrics:", "2:9: metrics: expected a list, got nothing"),
    ("metrics: bleu", "2:10: metrics: expected a list, got 'bleu'"),
    ("metrics: [3]", "2:11: metrics[0]: expected the name of a metric or {NAME: {option: value}}, got 3"),
    ("metrics: [[a]]", "2:11: metrics[0]: expected the name of a metric or {NAME: {option: value}}, got a list"),
    ("metrics: ['rouge L']", "2:11: metrics[0]: 'rouge L' is no name: a name starts with a letter and holds lett"),
    ("metrics: [{bleu: 3}]", "2:18: metrics[0].bleu: expected a mapping of options, got 3"),
    ("metrics: [{as: x}]", "2:11: metrics[0]: expected one name as in {NAME: {option: value}, as: ALIAS}, got no"),
    (
        "metrics:\n  - rouge:\n    use_stemmer: true",
        "3:5: metrics[0]: expected one name as in {NAME: {option: value}, as: ALIAS}, got names 'rouge', 'use_stemme",
    ),
    ("metrics: [{bleu: , as: 3}]", "2:24: metrics[0].as: expected text, got 3"),
    ("metrics: [{bleu: , as: 3x}]", "2:24: metrics[0].as: '3x' is no name: "),
    ("metrics: [{bleu: {as: model}}]", "2:23: metrics[0].bleu.as: 'model' is reserved (so are cluster, completi"),
    ("metrics: [{bleu: {as: a}, as: b}]", "2:23: metrics[0].bleu.as: `as:` is given twice"),
    ("metrics: [bleu, bleu]", "2:17: metrics[1]: two metrics are called 'bleu' (it is first at 2:11); give one an"),
    ("reports: [csv, csv]\nmetrics: []", "2:16: reports[1]: two reports are called 'csv' (it is first at 2:11); giv"),
    ("models: [hf:x, hf:x]\nmetrics: []", "2:16: models[1]: two models are called 'hf:x' (it is first at 2:10); gi"),
    ("tasks: [{}]", "2:9: tasks[0]: missing key 'source'"),
    ("tasks: [x]", "2:9: tasks[0]: expected a mapping, got 'x'"),
    ("tasks: [{source: 3}]", "2:18: tasks[0].source: expected text, got 3; put it in quotes"),
    ("tasks: [{source: ''}]", "2:18: tasks[0].source: must not be empty"),
    ("tasks: [{source: x.csv, limit: 0}]", "2:32: tasks[0].limit: must be at least 1, got 0"),
    ("tasks: [{source: x.csv, limit: 5.0}]", "2:32: tasks[0].limit: expected a whole number, got 5.0"),
    ("tasks: [{source: x.csv, limit: '5'}]", "2:32: tasks[0].limit: expected a whole number, got '5'"),
    ("tasks: [{source: x.csv, limit: true}]", "2:32: tasks[0].limit: expected a whole number, got true"),
    ("tasks: [{source: x.csv, limit: 99999999999}]", "2:32: tasks[0].limit: must be at most 2147483647, got 9999"),
    ("tasks: [{source: x.csv, limits: 5}]", "2:25: tasks[0]: unknown key 'limits'; did you mean 'limit'?"),
    ("tasks: [{source: x.csv, name: a b}]", "2:31: tasks[0].name: 'a b' is no name: a name starts with a letter"),
    ("tasks: [{source: x.csv, language: English text}]", "2:35: tasks[0].language: 'English text' is no language"),
    ("tasks: [{source: x.csv, language: Chinese}]", "2:35: tasks[0].language: 'Chinese' is no language tag such as en"),
    ("tasks: [{source: x.csv, template: {mr}}]", "2:35: tasks[0].template: expected text, got a mapping; put text"),
    ("tasks: [{source: x.csv, template: 'a {mr.x}'}]", "2:35: tasks[0].template: '{mr.x}' at character 3 is no f"),
    ("tasks: [{source: x.csv, options: [a]}]", "2:34: tasks[0].options: expected a mapping, got a list"),
    ("tasks: [{source: x.csv, fields: mr}]", "2:33: tasks[0].fields: expected a mapping of our names to columns,"),
    ("tasks: [{source: x.csv, fields: {promt: mr, prompt: x}}]", "2:34: tasks[0].fields: unknown key 'promt'; did"),
    ("tasks: [{source: x.csv, fields: {prompt: 3}}]", "2:42: tasks[0].fields.prompt: expected a column's name, g"),
    ("tasks: [{source: x.csv, fields: {prompt: [a]}}]", "2:42: tasks[0].fields.prompt: expected a column's name"),
    ("tasks: [{source: x.csv, fields: {prompt: p, references: [a, 3]}}]", "2:61: tasks[0].fields.references[1]: e"),
    ("tasks: [{source: x.csv, fields: {reference: a}}]", "2:33: tasks[0].fields: give `prompt: COLUMN` here, or"),
    ("tasks: [{source: a/x.csv}, {source: x.csv}]", "2:28: tasks[1]: two tasks are called 'x' (it is first at 2:9"),
    ("metrics: []\ngenerate: [3]", "3:11: generate: expected a mapping, got a list"),
    ("metrics: []\ngenerate: {temprature: 1}", "3:12: generate: unknown key 'temprature'; did you mean 'temperatu"),
    ("metrics: []\ngenerate: {n: 0}", "3:15: generate.n: must be at least 1, got 0"),
    ("metrics: []\ngenerate: {temperature: -1}", "3:25: generate.temperature: must be at least 0, got -1"),
    ("metrics: []\ngenerate: {temperature: hot}", "3:25: generate.temperature: expected a number, got 'hot'"),
    ("metrics: []\ngenerate: {top_p: 0}", "3:19: generate.top_p: must be above 0, got 0"),
    ("metrics: []\ngenerate: {top_p: 1.5}", "3:19: generate.top_p: must be at most 1, got 1.5"),
    ("metrics: []\ngenerate: {top_k: -1}", "3:19: generate.top_k: must be at least 0, got -1"),
    ("metrics: []\ngenerate: {num_beams: 0}", "3:23: generate.num_beams: must be at least 1, got 0"),
    ("metrics: []\ngenerate: {repetition_penalty: 0}", "3:32: generate.repetition_penalty: must be above 0, got 0"),
    ("metrics: []\ngenerate: {max_new_tokens: 0}", "3:28: generate.max_new_tokens: must be at least 1, got 0"),
    ("metrics: []\ngenerate: {batch_tokens: 0}", "3:26: generate.batch_tokens: must be at least 1, got 0"),
    ("metrics: []\ngenerate: {seed: -1}", "3:18: generate.seed: must be at least 0, got -1"),
    ("metrics: []\ngenerate: {seed: 9223372036854775808}", "3:18: generate.seed: must be at most 9223372036854775"),
    ("metrics: []\ngenerate: {stop: [a, '']}", "3:22: generate.stop[1]: must not be empty"),
    ("metrics: []\ngenerate: {stop: 3}", "3:18: generate.stop: expected a list, got 3"),
    ("metrics: []\ngenerate: {n: 4}", "3:15: generate.n: n=4 greedy completions would be identical: set temperatu"),
    ("metrics: []\ngenerate: {n: 4, num_beams: 3}", "3:15: generate.n: n=4 completions need at least as many be"),
    ("metrics: []\ngenerate: {num_beams: 3, temperature: 1}", "3:23: generate.num_beams: beam search draws noth"),
    ("metrics: []\ngenerate: {strategy: mbrr}", "3:22: generate.strategy: unknown value 'mbrr'; did you mean 'mbr'?"),
    (
        "metrics: []\ngenerate: {strategy: sample}",
        "3:22: generate.strategy: unknown value 'sample'; expected all or best_of or mbr",
    ),
    ("metrics: []\ngenerate: {strategy: 3}", "3:22: generate.strategy: unknown value 3; expected all or best_of or mbr"),
    ("metrics: []\ngenerate: {strategy: mbr, utility: 3}", "3:36: generate.utility: expected text, got 3; put it in q"),
    ("metrics: []\ngenerate: {strategy: mbr, utility: ''}", "3:36: generate.utility: must not be empty"),
    (
        "metrics: []\ngenerate: {strategy: mbr}",
        "3:22: generate.strategy: 'mbr' needs `utility:`, the name of a score that compares with references, such as",
    ),
    (
        "metrics: []\ngenerate: {strategy: best_of}",
        "3:22: generate.strategy: 'best_of' chooses by the reward: add `reward:` with `terms:`",
    ),
    (
        "reward: {terms: [{score: polite}]}\ngenerate: {strategy: best_of, utility: chrf}",
        "3:40: generate.utility: 'best_of' chooses by the reward: a utility goes with `strategy: mbr`",
    ),
    (
        "metrics: []\ngenerate: {utility: chrf}",
        "3:21: generate.utility: 'all' chooses nothing: a utility goes with `strategy: mbr`",
    ),
    (
        "tasks: [{source: x.csv}]\nmodels: [m]\ngenerate: {n: 1, strategy: mbr, utility: chrf}",
        "4:15: generate.n: 'mbr' chooses among the completions of a sample, and n=1 leaves no choice: n must be at lea",
    ),
    (
        "tasks: [{source: x.csv}]\nreward: {terms: [{score: polite}]}\ngenerate: {strategy: best_of}",
        "4:11: generate.n: 'best_of' chooses among the completions of a sample, and n=1 leaves no choice",
    ),
    ("reward: [3]", "2:9: reward: expected a mapping, got a list"),
    ("reward:", "2:8: reward: expected a mapping, got nothing"),
    ("reward: {}", "2:9: reward: missing key 'terms'"),
    ("reward: {terms: {}}", "2:17: reward.terms: expected a list, got a mapping"),
    ("reward: {terms: []}", "2:17: reward.terms: expected at least one term"),
    ("reward: {terms: [polite]}", "2:18: reward.terms[0]: expected a mapping, got 'polite'"),
    ("reward: {terms: [{weight: 1}]}", "2:18: reward.terms[0]: missing key 'score'"),
    (
        "reward: {combine: weigthed_mean, terms: [{score: polite}]}",
        "2:19: reward.combine: unknown value 'weigthed_mean'; did you mean 'weighted_mean'?",
    ),
    (
        "reward: {combine: x, terms: [{score: polite}]}",
        "2:19: reward.combine: unknown value 'x'; expected weighted_mean or weighted_sum or product or min",
    ),
    ("reward: {term: [], terms: [{score: polite}]}", "2:10: reward: unknown key 'term'; did you mean 'terms'?"),
    ("reward: {terms: [{score: polite, wieght: 1}]}", "2:34: reward.terms[0]: unknown key 'wieght'; did you mean"),
    (
        "reward: {terms: [{score: polite, weight: -1}]}",
        "2:42: reward.terms[0].weight: a weight is at least 0; for a score whose low values are good set "
        "`higher_is_better: false`, got -1",
    ),
    ("reward: {terms: [{score: polite, weight: 0}]}", "2:17: reward.terms: the weights must have a positive, finit"),
    ("reward: {terms: [{score: polite, required: yes}]}", "2:44: reward.terms[0].required: expected true or false,"),
    ("reward: {terms: [{score: polite, range: [1, 1]}]}", "2:41: reward.terms[0].range: low must be below high, got"),
    ("reward: {terms: [{score: polite, range: [1]}]}", "2:41: reward.terms[0].range: expected 2 items, got 1"),
    ("reward: {terms: [{score: polite, range: [1, x]}]}", "2:45: reward.terms[0].range[1]: expected a number, got"),
    ("reward: {terms: [{score: polite, as: sample}]}", "2:38: reward.terms[0].as: 'sample' is reserved (so are clu"),
    ("reward: {terms: [{score: polite}, {score: polite}]}", "2:35: reward.terms[1]: two terms are called 'polite' ("),
    (
        "reward: {combine: min, terms: [{score: polite, weight: 1}]}",
        "2:56: reward.terms[0].weight: `combine: min` takes no weights; remove it",
    ),
    ("reward: {terms: [{score: polite}], guard: [{score: polite}]}", "2:44: reward.guard[0]: a guard needs `min`,"),
    (
        "reward: {terms: [{score: polite}], guard: [{score: polite, min: 2, max: 1}]}",
        "2:44: reward.guard[0]: nothing lies between min 2.0 and max 1.0",
    ),
    ("metrics: []\ngate: {}", "3:7: gate: missing key 'rules'"),
    ("metrics: []\ngate: {rules: []}", "3:15: gate.rules: expected at least one rule"),
    ("metrics: [bleu]\ngate: {rules: [{score: bleu}]}", "3:16: gate.rules[0]: a rule needs `min`, `max`, `max_drop"),
    ("metrics: [bleu]\ngate: {rules: [{score: bleu, max_drops: 1}]}", "3:30: gate.rules[0]: unknown key 'max_dro"),
    ("metrics: [bleu]\ngate: {rules: [{score: bleu, level: copus, min: 1}]}", "3:37: gate.rules[0].level: unknown"),
    ("metrics: []\nonline: {group_size: 0}", "3:22: online.group_size: must be at least 1, got 0"),
    ("metrics: []\nonline: {fields: {refs: x}}", "3:19: online.fields: unknown key 'refs'; "),
]  # fmt: skip


CHOOSING = (
    "generate: {n: 2, temperature: 1, strategy: best_of}\nreward: {terms: [{score: polite}]}",
    "tasks: [{source: x.csv}]\ngenerate: {n: 2, num_beams: 2, strategy: mbr, utility: chrf}",
    "tasks: [{source: x.jsonl, recorded: true}]\ngenerate: {strategy: mbr, utility: chrf}",  # their n is what it is
    "metrics: []\ngenerate: {strategy: mbr, utility: chrf}",  # for records that `harness score` is given
    "metrics: []\ngenerate: {strategy: all}",
)


@pytest.mark.parametrize("text", CHOOSING)
def test_suites_that_choose(text):
    suite = parse_suite(f"name: s\n{text}", check=False)
    assert (suite.choice is None) == ("all" in text)


@pytest.mark.parametrize(("text", "message"), SHAPE, ids=[m[:50] for _, m in SHAPE])
def test_mistakes_of_shape(text, message):
    with pytest.raises(SuiteError) as caught:
        parse_suite(f"name: s\n{text}", source="s.yaml", check=False)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"s.yaml:{message}")
    assert "Input should" not in line
    assert "pydantic" not in line
