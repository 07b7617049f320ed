"""Human consistency: scores by hand, tables against scipy, krippendorff and plain loops, from the raw records."""

from __future__ import annotations

import csv
import itertools
import json
import math
import random
import zlib
from collections import Counter, defaultdict

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF
from scipy import stats

import harness
from harness import Batch, Completion, Generation, PluginError, Preference, Sample
from harness.correlation import Resamples
from harness.registry import Entry, Plugin, Registry
from harness.run import prepare, run_suite
from harness.suite import parse_suite
from harness.types import Spec
from harness_plugins.human import human

SCIPY = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
COLUMNS = ["task", "dimension", "score", "level", "coefficient", "value", "ci_low", "ci_high", "n"]
OURS = Plugin("ours", "tests", "tests", "1.0", "ok")
SUITE = """
name: judged
tasks:
  - {name: t, source: records.jsonl, recorded: true}
metrics: [shown, cost, shaky, human]
"""


# The scores


def rated(*ratings, **options):
    """The scores of one group, a completion for each mapping of ratings."""
    completions = tuple(Completion("a", ratings=r) for r in ratings)
    return human(**options)(Batch((Generation(Sample("1"), "m", completions),)))


def preferred(size, *preferences):
    generation = Generation(Sample("1"), "m", (Completion("a"),) * size, preferences)
    return human()(Batch((generation,)))["human.preferred"]


def test_the_mean_of_the_raters_who_gave_a_rating():
    scores = rated(
        {"overall": (4.0, None, 5.0), "flow": (1.0,)},
        {"overall": (2.0,)},
        {"overall": (None, None)},
        {},
        dimensions={"overall": [1, 5]},
    )
    assert set(scores) == {"human.overall", "human.preferred"}
    assert scores["human.overall"].segment == [4.5, 2.0, None, None]
    assert scores["human.overall"].reasons == dict.fromkeys((2, 3), "nobody rated the completion's overall")
    assert scores["human.overall"].signature == "human.overall|mean:raters"


def test_the_scale_is_the_range_and_higher_is_better():
    infos = {info.name: info for info in human(dimensions={"valence": [-4, 4]}).infos}
    assert (infos["human.valence"].low, infos["human.valence"].high) == (-4.0, 4.0)
    assert infos["human.valence"].needs == {"ratings"}
    assert infos["human.preferred"].needs == {"preferences"}
    assert (infos["human.preferred"].low, infos["human.preferred"].high) == (0.0, 1.0)
    assert all(info.higher_is_better and info.tolerance == 0 for info in infos.values())


def test_a_mean_is_exact_in_any_order():
    values = [0.1, 0.2, 0.3, 1e16, -1e16]
    found = {
        rated({"d": order}, dimensions={"d": [-1e17, 1e17]})["human.d"].segment[0]
        for order in itertools.permutations(values)
    }
    assert found == {math.fsum(values) / 5}


def test_the_share_of_comparisons_won_a_tie_being_half():
    found = preferred(
        4,
        Preference(0, 1, "ann"),
        Preference(0, 1, "bob"),
        Preference(1, 0, "eve"),
        Preference(0, 2, "ann", tie=True),
        Preference("reference", 1),
        Preference(3, "reference"),
    )
    assert found.segment == [2.5 / 4, 1 / 3, 0.5, None]
    assert found.reasons == {3: "nobody compared the completion with another"}
    assert found.signature == "human.preferred|ties:half"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()).filter(lambda p: p[0] != p[1])))
def test_every_comparison_hands_out_one_point(pairs):
    """So the shares, weighted by how often each was compared, have the mean one half."""
    preferences = [Preference(a, b, tie=tie) for a, b, tie in pairs]
    shares = preferred(5, *preferences).segment
    times = Counter(side for a, b, _ in pairs for side in (a, b))
    assert sum((shares[i] or 0) * n for i, n in times.items()) == pytest.approx(len(pairs))
    assert [share is None for share in shares] == [i not in times for i in range(5)]


def test_only_wanted_scores_are_given_and_an_empty_batch_is_no_error():
    metric = human(dimensions={"overall": [1, 5]})
    generation = Generation(Sample("1"), "m", (Completion("a", ratings={"overall": (3.0,)}),))
    assert list(metric(Batch((generation,), frozenset({"human.overall"})))) == ["human.overall"]
    assert metric(Batch((generation,), frozenset({"other"}))) == {}
    assert all(not len(s.values) for s in metric(Batch(())).values())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": {"overall": [1]}}, "dimensions: overall: give the scale as [lowest, highest]"),
        ({"dimensions": {"overall": [5, 1]}}, "not [5, 1]"),
        ({"dimensions": {"overall": [1, math.inf]}}, "not [1, inf]"),
        ({"dimensions": {"two words": [1, 5]}}, "'two words' cannot name a score"),
        ({"dimensions": {"preferred": [1, 5]}}, "is none of preferred"),
        ({"dimensions": {"status": [1, 5]}}, "'status' cannot name a score"),
        ({"resamples": -1}, "resamples: -1 is not at least 0"),
        ({"seed": -1}, "seed: -1 is not at least 0"),
    ],
    ids=range(8),
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError) as error:
        human(**options)
    assert message in str(error.value)


def test_a_host_checks_options_and_finds_scores_by_family():
    registry = Registry.load(allow=["human"])
    assert registry.find("metric", "human").gives("human.overall")
    infos = registry.infos(Spec("metric", "human", options={"dimensions": {"overall": [1, 5.5]}}))
    assert [i.name for i in infos] == ["human.overall", "human.preferred"]
    with pytest.raises(PluginError, match="'dimensions' expects"):
        registry.make(Spec("metric", "human", options={"dimensions": {"overall": "1-5"}}))


# Runs


def number(text):
    return float(text) if text != "?" else None


def metrics_that_read():
    """Scores that are what a completion's text says: `cost` is less where it is better, `shaky` has gaps."""

    def made(name, function, **options):
        factory = lambda: harness.metric_from(function, name=name, low=-100, high=100, **options)  # noqa: E731
        return Entry("metric", name, factory, (name,), OURS)

    return [
        made("shown", lambda completions: [number(c) for c in completions]),
        made(
            "cost",
            lambda completions: [None if c == "?" else round(-float(c), 1) for c in completions],
            higher_is_better=False,
        ),
        made("shaky", lambda completions: [None if c[-1] in "?37" else round(float(c)) for c in completions]),
        made("constant", lambda completions: [0.1] * len(completions)),
    ]


def run_of(folder, records, suite=SUITE, **overrides):
    """A run over records, and its tables as lists of rows by name."""
    (folder / "records.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    base = Registry.load(allow=["human", "files", "console", "length", "chrf", "rated"])
    registry = Registry([*base.plugins, OURS], [*base.entries(), *metrics_that_read()])
    parsed = parse_suite(suite, folder=folder, registry=registry)
    outcome = run_suite(prepare(parsed, registry, **overrides), folder / "out")
    return outcome.run, tables_of(outcome.run)


def tables_of(run):
    tables = {}
    for path in sorted((run.folder / "tables").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            tables[path.stem] = list(csv.DictReader(file))
    return tables


def value(cell):
    return float(cell) if cell else math.nan


def cells(rows):
    """Rows of the agreement table by (dimension, score, level, coefficient)."""
    return {(r["dimension"], r["score"], r["level"], r["coefficient"]): r for r in rows}


def random_records(seed, samples=14, models=4):
    """Several models, ratings with gaps, preferences with ties, samples in clusters, failures."""
    dice = random.Random(seed)
    found = []
    for sample, model in itertools.product(range(samples), range(models)):
        size = dice.randrange(1, 4)
        texts = [f"{dice.gauss(model / 2, 2):.1f}" if dice.random() < 0.9 else "?" for _ in range(size)]
        ratings = [
            {
                "overall": [
                    None if dice.random() < 0.2 else min(5, max(1, round((number(t) or 0) + dice.gauss(2, 1))))
                    for _ in range(3)
                ],
                **({"flow": dice.randrange(3)} if sample % 3 else {}),
            }
            for t in texts
        ]
        sides = [*range(size), "reference"]
        preferences = [
            {"better": a, "worse": b, "rater": rater, "tie": dice.random() < 0.2}
            for a, b in (dice.sample(pair, 2) for pair in itertools.combinations(sides, 2))
            for rater in ("ann", "bob", "eve")
            if dice.random() < 0.8
        ]
        completions = [None if dice.random() < 0.05 else t for t in texts]
        found.append(
            {
                "id": str(sample),
                "model": f"m{model}",
                "cluster": f"c{sample // 2}",
                "references": ["0"],
                "completions": completions,
                "ratings": ratings,
                "preferences": preferences,
            }
        )
    return found


SCORES = {
    "shown": (number, 1),
    "cost": (lambda text: None if text == "?" else round(-float(text), 1), -1),
    "shaky": (lambda text: None if text[-1] in "?37" else float(round(float(text))), 1),
}


def score_of(name, text):
    return None if text is None else SCORES[name][0](text)


def rated_rows(records, dimension, name):
    """(sample, model, score, mean rating) of the completions that have both."""
    found = []
    for record in records:
        for text, ratings in zip(record["completions"], record["ratings"], strict=True):
            listed = ratings.get(dimension, [])
            listed = [r for r in (listed if isinstance(listed, list) else [listed]) if r is not None]
            score = score_of(name, text)
            if listed and score is not None:
                found.append((record["id"], record["model"], score, sum(listed) / len(listed)))
    return found


def by_scipy(x, y, direction):
    """Coefficients of two columns, by scipy and plain loops; None without one."""
    varied = len(x) > 1 and len(set(x)) > 1 and len(set(y)) > 1
    found = {name: f(x, y).statistic if varied else None for name, f in SCIPY.items()}
    pairs = [
        (np.sign(x[i] - x[j]) * direction, np.sign(y[i] - y[j])) for i, j in itertools.combinations(range(len(x)), 2)
    ]
    decided = [(a, b) for a, b in pairs if b]

    def share(hits, whole):
        return sum(hits) / len(whole) if whole else None

    return found | {
        "pairwise_accuracy": share([a == b for a, b in decided], decided),
        "pairwise_accuracy_half": share([(a == b) + (a == 0) / 2 for a, b in decided], decided),
        "pairwise_accuracy_eq": share([a == b for a, b in pairs], pairs),
        "ties_score": share([a == 0 for a, _ in pairs], pairs),
        "ties_human": share([b == 0 for _, b in pairs], pairs),
    }


def mean_of_found(parts):
    """The mean over samples of each coefficient, of those that have it, and how many have."""
    names = parts[0] if parts else ()
    there = {n: [p[n] for p in parts if p[n] is not None] for n in names}
    return {n: (sum(v) / len(v) if v else None) for n, v in there.items()}, {n: len(v) for n, v in there.items()}


def expected_rows(rows, direction):
    """level -> (coefficients, n by coefficient)."""
    x, y = [r[2] for r in rows], [r[3] for r in rows]
    pairs = list(itertools.combinations(y, 2))
    n = dict.fromkeys(SCIPY, len(rows)) | dict.fromkeys(
        ("pairwise_accuracy_eq", "ties_score", "ties_human"), len(pairs)
    )
    pooled = (
        by_scipy(x, y, direction),
        n | dict.fromkeys(("pairwise_accuracy", "pairwise_accuracy_half"), sum(a != b for a, b in pairs)),
    )
    groups = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    parts = [by_scipy([r[2] for r in g], [r[3] for r in g], direction) for g in groups.values() if len(g) > 1]
    models = defaultdict(list)
    for row in rows:
        models[row[1]].append(row)
    means = [tuple(np.mean([r[k] for r in g]) for k in (2, 3)) for _, g in sorted(models.items())]
    system = by_scipy([m[0] for m in means], [m[1] for m in means], direction)
    return {"pooled": pooled, "sample": mean_of_found(parts), "system": (system, dict.fromkeys(system, len(means)))}


@pytest.mark.parametrize("seed", range(3))
def test_ratings_at_three_levels_equal_scipy(tmp_path, seed):
    records = random_records(seed)
    _, tables = run_of(tmp_path, records)
    assert list(tables["agreement"][0]) == COLUMNS
    found = cells(tables["agreement"])
    checked = 0
    for dimension, name in itertools.product(("overall", "flow"), SCORES):
        for level, (values, counts) in expected_rows(rated_rows(records, dimension, name), SCORES[name][1]).items():
            for coefficient, expected in values.items():
                row = found.pop((dimension, name, level, coefficient))
                expected = math.nan if expected is None else expected
                assert value(row["value"]) == pytest.approx(expected, abs=1e-12, nan_ok=True), row
                assert int(row["n"]) == counts[coefficient], row
                checked += 1
    assert checked == 2 * 3 * 3 * 8
    assert {key[0] for key in found} == {"preference"}


def outcome_of(votes):
    counts = Counter(votes).most_common()
    return 0 if len(counts) > 1 and counts[0][1] == counts[1][1] else counts[0][0]


def comparisons(records):
    """(record, first, second, [(rater, vote)]): vote 1 for the first, -1 for the second, 0 for a tie."""
    found = []
    for record in records:
        votes = defaultdict(list)
        for p in record["preferences"]:
            pair = tuple(sorted((p["better"], p["worse"]), key=lambda s: 99 if s == "reference" else s))
            vote = 0 if p["tie"] else 1 if pair[0] == p["better"] else -1
            votes[pair].append((p.get("rater"), vote))
        found += [(record, *pair, given) for pair, given in votes.items()]
    return found


@pytest.mark.parametrize("seed", range(3))
def test_preferences_equal_plain_loops(tmp_path, seed):
    records = random_records(seed)
    _, tables = run_of(tmp_path, records)
    found = cells(tables["agreement"])
    for name in SCORES:
        judged = []
        for record, first, second, votes in comparisons(records):
            if second != "reference":
                a, b = (score_of(name, record["completions"][side]) for side in (first, second))
                if a is not None and b is not None:
                    sign = np.sign(a - b) * SCORES[name][1]
                    judged.append((record["id"], sign, outcome_of([v for _, v in votes])))

        def shares(some):
            decided = [s == o for _, s, o in some if o]
            half = [0.5 if s == 0 else s == o for _, s, o in some if o]
            return {
                "pairwise_accuracy": np.mean(decided) if decided else None,
                "pairwise_accuracy_half": np.mean(half) if half else None,
                "pairwise_accuracy_eq": np.mean([s == o for _, s, o in some]),
                "ties_score": np.mean([s == 0 for _, s, _ in some]),
                "ties_human": np.mean([o == 0 for *_, o in some]),
            }

        by_sample = defaultdict(list)
        for row in judged:
            by_sample[row[0]].append(row)
        within, counts = mean_of_found([shares(g) for g in by_sample.values()])
        for level, values in (("pooled", shares(judged)), ("sample", within)):
            for coefficient, expected in values.items():
                row = found.pop(("preference", name, level, coefficient))
                assert value(row["value"]) == pytest.approx(expected, abs=1e-12), row
                decided = coefficient in ("pairwise_accuracy", "pairwise_accuracy_half")
                pooled = sum(o != 0 for *_, o in judged) if decided else len(judged)
                assert int(row["n"]) == (pooled if level == "pooled" else counts[coefficient])
    assert "preference" not in {key[0] for key in found}


@pytest.mark.parametrize("seed", range(3))
def test_alphas_and_ceilings_equal_their_oracles(tmp_path, seed):
    records = random_records(seed)
    _, tables = run_of(tmp_path, records)
    found = {(r["dimension"], r["coefficient"]): value(r["value"]) for r in tables["raters"]}
    ratings = np.array(
        [[math.nan if v is None else v for v in r["overall"]] for record in records for r in record["ratings"]], float
    )
    for level in ("nominal", "ordinal", "interval"):
        expected = krippendorff.alpha(ratings.T, level_of_measurement=level)
        assert found["overall", f"alpha_{level}"] == pytest.approx(expected, abs=1e-12)
    for name, function in SCIPY.items():
        each = []
        for rater in range(3):
            rest = np.delete(ratings, rater, axis=1)
            there = np.isfinite(ratings[:, rater]) & np.isfinite(rest).any(axis=1)
            each.append(function(ratings[there, rater], np.nanmean(rest[there], axis=1)).statistic)
        assert found["overall", f"ceiling_{name}"] == pytest.approx(np.mean(each), abs=1e-12)
    judged = [votes for *_, votes in comparisons(records) if len(votes) > 1]
    width = max(map(len, judged))
    units = np.array([[v for _, v in votes] + [math.nan] * (width - len(votes)) for votes in judged], float)
    expected = krippendorff.alpha(units.T, level_of_measurement="nominal")
    assert found["preference", "alpha_nominal"] == pytest.approx(expected, abs=1e-12)
    each = []
    for rater in ("ann", "bob", "eve"):
        hits = []
        for votes in judged:
            mine, rest = [v for r, v in votes if r == rater], [v for r, v in votes if r != rater]
            if mine and rest and outcome_of(rest):
                hits.append(mine[0] == outcome_of(rest))
        each.append(np.mean(hits))
    assert found["preference", "ceiling_pairwise_accuracy"] == pytest.approx(np.mean(each), abs=1e-12)
    assert {d for d, _ in found} == {"overall", "preference"}  # flow has one rater


@pytest.mark.parametrize("seed", range(2))
def test_the_share_preferred_over_a_human_text(tmp_path, seed):
    records = random_records(seed)
    _, tables = run_of(tmp_path, records)
    for row in tables["over_reference"]:
        outcomes = [
            outcome_of([v for _, v in votes])
            for record, _, second, votes in comparisons(records)
            if second == "reference" and record["model"] == row["model"]
        ]
        assert value(row["value"]) == pytest.approx(np.mean([(o + 1) / 2 for o in outcomes]), abs=1e-12)
        assert value(row["ties"]) == pytest.approx(np.mean([o == 0 for o in outcomes]), abs=1e-12)
        assert int(row["n"]) == len(outcomes)
        assert value(row["ci_low"]) <= value(row["value"]) <= value(row["ci_high"])
    assert [r["model"] for r in tables["over_reference"]] == ["m0", "m1", "m2", "m3"]


# Intervals


def per_sample(rows):
    """Pearson's r within each sample that has one."""
    groups = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)
    columns = [([r[2] for r in g], [r[3] for r in g]) for g in groups.values()]
    return [np.corrcoef(x, y)[0, 1] for x, y in columns if len(set(x)) > 1 and len(set(y)) > 1]


def of_models(rows):
    models = defaultdict(list)
    for _, model, x, y in rows:
        models[model].append((x, y))
    means = [np.mean(found, axis=0) for found in models.values()]
    return stats.spearmanr([m[0] for m in means], [m[1] for m in means]).statistic


PLAIN = {
    ("pooled", "kendall"): lambda rows: stats.kendalltau([r[2] for r in rows], [r[3] for r in rows]).statistic,
    ("sample", "pearson"): lambda rows: np.mean(per_sample(rows)),
    ("system", "spearman"): of_models,
}


@pytest.mark.parametrize(("level", "coefficient"), PLAIN)
def test_intervals_are_of_clusters_drawn_with_replacement(tmp_path, level, coefficient):
    """The same draws, each put together and computed in a plain loop."""
    records = random_records(4, samples=40)
    _, tables = run_of(tmp_path, records)
    clusters = defaultdict(list)
    for record in records:
        clusters[record["cluster"]].append(record)
    rows = [rated_rows(some, "overall", "shown") for some in clusters.values()]
    draws = Resamples.draw(len(rows), 1000, zlib.crc32(b"t")).counts[1:].astype(int)
    values = []
    for counts in draws:
        drawn = enumerate(some for some, count in zip(rows, counts, strict=True) for _ in range(count))
        values.append(PLAIN[level, coefficient]([(f"{copy}.{s}", *rest) for copy, some in drawn for s, *rest in some]))
    row = cells(tables["agreement"])["overall", "shown", level, coefficient]
    found = [value(row["ci_low"]), value(row["ci_high"])]
    assert found == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-9)
    assert found[1] - found[0] > 0.05


@pytest.mark.parametrize("level", ["pooled", "sample"])
def test_intervals_of_preferences_are_of_clusters_too(tmp_path, level):
    records = random_records(4, samples=20)
    _, tables = run_of(tmp_path, records)
    samples = defaultdict(lambda: defaultdict(list))
    for record, first, second, votes in comparisons(records):
        if second != "reference":
            a, b = (score_of("shown", record["completions"][side]) for side in (first, second))
            outcome = outcome_of([v for _, v in votes])
            if a is not None and b is not None:
                samples[record["cluster"]][record["id"]] += [np.sign(a - b) == outcome] if outcome else []
    rows = [[hits for hits in some.values() if hits] for some in samples.values()]
    values = []
    for counts in Resamples.draw(len(rows), 1000, zlib.crc32(b"t")).counts[1:].astype(int):
        drawn = [hits for some, count in zip(rows, counts, strict=True) for _ in range(count) for hits in some]
        values.append(np.mean(sum(drawn, []) if level == "pooled" else [np.mean(hits) for hits in drawn]))
    row = cells(tables["agreement"])["preference", "shown", level, "pairwise_accuracy"]
    expected = np.percentile(values, [2.5, 97.5])
    assert [value(row["ci_low"]), value(row["ci_high"])] == pytest.approx(expected, abs=1e-9)


def test_tables_are_the_same_each_time_and_follow_the_seed(tmp_path):
    records = random_records(5)
    texts = []
    for number_, seed in enumerate((0, 0, 1)):
        place = tmp_path / str(number_)
        place.mkdir()
        run_of(place, records, SUITE.replace("human]", f"{{human: {{seed: {seed}, resamples: 50}}}}]"))
        texts.append((place / "out" / "tables" / "agreement.csv").read_bytes())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_no_resamples_give_no_intervals(tmp_path):
    _, tables = run_of(tmp_path, random_records(6), SUITE.replace("human]", "{human: {resamples: 0}}]"))
    for table in tables.values():
        assert {(row["ci_low"], row["ci_high"]) for row in table} == {("", "")}
        assert any(row["value"] for row in table)


def test_one_cluster_shows_no_spread(tmp_path):
    records = [r | {"cluster": "same"} for r in random_records(7)]
    _, tables = run_of(tmp_path, records)
    for table in tables.values():
        assert {(row["ci_low"], row["ci_high"]) for row in table} == {("", "")}


# What is left out, and what has no value


def one_each(values, ratings, model="m", **more):
    """A record per value, each a sample of its own."""
    return [
        {"id": str(i), "model": model, "completions": [str(v)], "ratings": [{"overall": r}], **more}
        for i, (v, r) in enumerate(zip(values, ratings, strict=True))
    ]


def test_lower_is_better_turns_pairs_round_and_leaves_correlations_as_they_are(tmp_path):
    _, tables = run_of(tmp_path, one_each([1, 2, 3, 4], [1, 2, 4, 5]))
    found = cells(tables["agreement"])
    assert value(found["overall", "cost", "pooled", "kendall"]["value"]) == -1.0
    assert value(found["overall", "shown", "pooled", "kendall"]["value"]) == 1.0
    for name in ("shown", "cost"):
        assert value(found["overall", name, "pooled", "pairwise_accuracy"]["value"]) == 1.0


def test_a_constant_score_has_no_correlation_and_misses_every_pair(tmp_path):
    _, tables = run_of(tmp_path, one_each([1, 2, 3], [1, 2, 2]), SUITE.replace("shown", "constant"))
    found = cells(tables["agreement"])
    for coefficient in SCIPY:
        row = found["overall", "constant", "pooled", coefficient]
        assert (row["value"], row["ci_low"], row["ci_high"], row["n"]) == ("", "", "", "3")
    assert found["overall", "constant", "pooled", "pairwise_accuracy"]["value"] == "0.0"
    assert found["overall", "constant", "pooled", "pairwise_accuracy_half"]["value"] == "0.5"
    assert found["overall", "constant", "pooled", "ties_score"]["value"] == "1.0"
    assert value(found["overall", "constant", "pooled", "ties_human"]["value"]) == pytest.approx(1 / 3)


def test_levels_that_the_data_does_not_have_have_no_rows(tmp_path):
    """One completion per sample shows nothing within samples; two models make no line worth having."""
    _, tables = run_of(tmp_path, one_each([1, 2, 3], [1, 2, 3]) + one_each([2, 3, 1], [1, 2, 3], model="n"))
    assert {r["level"] for r in tables["agreement"]} == {"pooled", "sample"}
    (tmp_path / "one").mkdir()
    _, tables = run_of(tmp_path / "one", one_each([1, 2, 3], [1, 2, 3]))
    assert {r["level"] for r in tables["agreement"]} == {"pooled"}


@pytest.mark.parametrize("count", [2, 3])
def test_the_mean_of_fewer_than_three_samples_is_no_value(tmp_path, count):
    records = [
        {"id": str(i), "completions": ["1", "2"], "ratings": [{"overall": 1}, {"overall": 2}]} for i in range(count)
    ]
    _, tables = run_of(tmp_path, records)
    row = cells(tables["agreement"])["overall", "shown", "sample", "kendall"]
    assert (row["value"], row["n"]) == ("1.0" if count == 3 else "", str(count))


def test_a_score_without_any_value_has_no_rows(tmp_path):
    _, tables = run_of(tmp_path, one_each(["3", "13", "7"], [1, 2, 3]))
    assert {r["score"] for r in tables["agreement"]} == {"shown", "cost"}


def test_a_run_nobody_judged_has_empty_tables(tmp_path):
    _, tables = run_of(tmp_path, [{"id": "1", "completions": ["1"]}])
    assert tables == {"agreement": [], "raters": []}
    header = (tmp_path / "out" / "tables" / "agreement.csv").read_text().strip()
    assert header == ",".join(COLUMNS)


def test_scores_made_of_ratings_are_not_held_against_ratings(tmp_path):
    suite = SUITE.replace("human]", "{human: {dimensions: {overall: [1, 5]}}}]") + (
        "reward:\n  terms:\n    - {score: shown, weight: 1, range: [-9, 9]}\n    - {score: SCORE, weight: 1, range: [1, 5]}\n"
    )
    records = one_each([1, 2, 3], [1, 2, 4])
    _, tables = run_of(tmp_path, records, suite.replace("SCORE", "human.overall"))
    assert {r["score"] for r in tables["agreement"]} == {"shown", "cost", "shaky", "reward.shown"}
    (tmp_path / "other").mkdir()
    _, tables = run_of(tmp_path / "other", records, suite.replace("SCORE", "cost"))
    assert {r["score"] for r in tables["agreement"]} >= {"reward", "reward.shown", "reward.cost"}


@pytest.mark.parametrize(
    "rule",
    [
        "    - {score: human.overall, as: liked, weight: 1, range: [1, 5]}\n",
        "  guard:\n    - {score: human.overall, min: 2}\n",
    ],
    ids=["a term with a name of its own", "a guard"],
)
def test_a_reward_that_knows_the_ratings_by_another_way_is_not_held_against_them(tmp_path, rule):
    suite = SUITE.replace("human]", "{human: {dimensions: {overall: [1, 5]}}}]")
    suite += "reward:\n  terms:\n    - {score: shown, weight: 1, range: [-9, 9]}\n" + rule
    run, tables = run_of(tmp_path, one_each([1, 2, 3], [1, 2, 4]), suite)
    assert "reward" in run.infos
    assert {r["score"] for r in tables["agreement"]} == {"shown", "cost", "shaky", "reward.shown"}


def test_means_of_the_same_ratings_in_another_order_are_tied(tmp_path):
    """0.1 + 0.2 + 0.3 is not 0.3 + 0.2 + 0.1 in binary numbers: raters, and models, whose means are equal tie."""
    assert (0.1 + 0.2) + 0.3 != (0.3 + 0.2) + 0.1
    records = one_each([1, 2, 3], [[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [1.0, 1.0]])
    _, tables = run_of(tmp_path, records)
    assert value(cells(tables["agreement"])["overall", "shown", "pooled", "ties_human"]["value"]) == pytest.approx(
        1 / 3
    )
    (tmp_path / "models").mkdir()
    by_model = {"a": [0.1, 0.2, 0.3], "b": [0.3, 0.2, 0.1], "c": [1, 2, 3]}
    records = [r for model, column in by_model.items() for r in one_each(column, column, model)]
    _, tables = run_of(tmp_path / "models", records)
    found = cells(tables["agreement"])
    for coefficient in ("ties_score", "ties_human"):
        assert value(found["overall", "shown", "system", coefficient]["value"]) == pytest.approx(1 / 3)


def test_small_ratings_beside_a_huge_one_are_not_tied(tmp_path):
    _, tables = run_of(tmp_path, one_each([1, 2, 3], [[1e18, 1e18], [1, 1], [2, 2]]))
    assert cells(tables["agreement"])["overall", "shown", "pooled", "ties_human"]["value"] == "0.0"


def test_ratings_called_preference_and_comparisons_are_two_dimensions(tmp_path):
    votes = [{"better": 0, "worse": 1, "rater": r} for r in ("ann", "bob")]
    ratings = [{"preference": [1, 2]}, {"preference": [3, 2]}]
    records = [{"id": str(i), "completions": ["2", "1"], "ratings": ratings, "preferences": votes} for i in range(3)]
    _, tables = run_of(tmp_path, records)
    for table in tables.values():
        keys = [tuple(row.get(k) for k in ("dimension", "score", "level", "coefficient")) for row in table]
        assert len(keys) == len(set(keys))
    found = cells(tables["agreement"])
    assert found["preference", "shown", "pooled", "pairwise_accuracy"]["value"] == "1.0"
    assert found["preference (rated)", "shown", "pooled", "pairwise_accuracy"]["value"] == "0.0"
    assert "kendall" not in {r["coefficient"] for r in tables["agreement"] if r["dimension"] == "preference"}


def test_one_rater_who_was_asked_twice_is_not_two(tmp_path):
    twice = [{"better": 0, "worse": 1, "rater": "ann"}, {"better": 1, "worse": 0, "rater": "ann"}]
    records = [{"id": str(i), "completions": ["2", "1"], "preferences": twice} for i in range(3)]
    _, tables = run_of(tmp_path, records)
    assert tables["raters"] == []
    (tmp_path / "two").mkdir()
    votes = [twice[0], twice[0], {"better": 0, "worse": 1, "rater": "bob"}]
    other = [{"better": 1, "worse": 0, "rater": "ann"}, {"better": 0, "worse": 1, "rater": "bob"}]
    records = [{"id": str(i), "completions": ["2", "1"], "preferences": votes if i else other} for i in range(3)]
    _, tables = run_of(tmp_path / "two", records)
    alpha = next(r for r in tables["raters"] if r["coefficient"] == "alpha_nominal")
    expected = krippendorff.alpha([[-1, 1, 1], [1, 1, 1]], level_of_measurement="nominal")
    assert value(alpha["value"]) == pytest.approx(expected)


def test_the_reward_and_its_terms_agree_as_their_scores_do(tmp_path):
    suite = SUITE + "reward:\n  terms:\n    - {score: cost, weight: 1, range: [-9, 9]}\n"
    _, tables = run_of(tmp_path, random_records(8), suite)
    found = cells(tables["agreement"])
    for level in ("pooled", "sample", "system"):
        term = value(found["overall", "reward.cost", level, "kendall"]["value"])
        assert term == pytest.approx(-value(found["overall", "cost", level, "kendall"]["value"]), abs=1e-12)
        assert value(found["overall", "reward", level, "kendall"]["value"]) == pytest.approx(term, abs=1e-12)


def test_raters_without_names_are_told_apart_by_their_order(tmp_path):
    votes = [{"better": a, "worse": 1 - a} for a in (0, 0, 1)]
    records = [{"id": str(i), "completions": ["2", "1"], "preferences": votes} for i in range(3)]
    _, tables = run_of(tmp_path, records)
    found = {r["coefficient"]: value(r["value"]) for r in tables["raters"]}
    # the first two agree with one of their others at a time: these two never decide; the third is outvoted
    assert found["ceiling_pairwise_accuracy"] == 0.0
    assert cells(tables["agreement"])["preference", "shown", "pooled", "pairwise_accuracy"]["value"] == "1.0"


def test_an_alias_names_the_tables(tmp_path):
    _, tables = run_of(tmp_path, random_records(9), SUITE.replace("human]", "{human: {as: people}}]"))
    assert set(tables) == {"people.agreement", "people.raters", "people.over_reference"}


# Real data, from the raw files with scipy alone


def check_against_raw(found, rows, direction=1):
    """`rows`: (sample, model, score, rating by dimension)."""
    for dimension in rows[0][3]:
        plain = [(s, m, x, ratings[dimension]) for s, m, x, ratings in rows]
        for level, (values, _) in expected_rows(plain, direction).items():
            for coefficient, expected in values.items():
                row = found.get((dimension, level, coefficient))
                if level == "system" and len({m for _, m, *_ in rows}) < 3:
                    assert row is None
                else:
                    assert value(row["value"]) == pytest.approx(expected, abs=1e-9), (dimension, level, coefficient)


def run_bundled(tmp_path, name, source, shared_data):
    suite = f"name: {name}\ntasks:\n  - {{name: {name}, source: '{source}', recorded: true}}\nmetrics: [chrf, length, human]"
    _, tables = run_of(tmp_path, [], suite, data=shared_data)
    scores = defaultdict(dict)
    for row in tables["agreement"]:
        scores[row["score"]][row["dimension"], row["level"], row["coefficient"]] = row
    return scores


@pytest.mark.data
@pytest.mark.slow
def test_topicalchat_from_the_raw_file(tmp_path, shared_data):
    file = "human_ratings/unieval_topical_chat.json"
    scores = run_bundled(tmp_path, "topicalchat", f"topicalchat:{file}", shared_data)
    raw = json.loads((shared_data / file).read_text(encoding="utf-8"))
    human_text = {r["source"]: r["system_output"].strip() for r in raw if r["system_id"] == "Original Ground Truth"}
    systems = [r for r in raw if r["system_id"] != "Original Ground Truth"]
    assert (len(human_text), len(systems)) == (60, 300)
    chrf = CHRF()
    rows = [
        (
            r["source"],
            r["system_id"],
            chrf.sentence_score(r["system_output"].strip(), [human_text[r["source"]]]).score,
            r["scores"],
        )
        for r in systems
    ]
    check_against_raw(scores["chrf"], rows)
    rows = [(s, m, len(r["system_output"].strip()), d) for r, (s, m, _, d) in zip(systems, rows, strict=True)]
    check_against_raw(scores["length_chars"], rows)


@pytest.mark.data
@pytest.mark.slow
def test_bagel_from_the_raw_file(tmp_path, shared_data):
    file = "human_ratings/bagel.jsonl"
    scores = run_bundled(tmp_path, "bagel", f"bagel:{file}", shared_data)
    raw = [json.loads(line) for line in (shared_data / file).read_text(encoding="utf-8").splitlines()]
    chrf = CHRF()
    rows = [
        (
            r["source"],
            "first" if r["id"] < 202 else "second",
            chrf.sentence_score(r["prediction"], r["references"]).score,
            r["scores"],
        )
        for r in raw
    ]
    check_against_raw(scores["chrf"], rows)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file"),
    [("wmt-darr", "human_ratings/wmt19_darr_lt-en_3k.jsonl"), ("pandalm", "preferences/pandalm_testset-v1.json")],
)
def test_pairs_from_the_raw_files(tmp_path, shared_data, name, file):
    """The share of pairs whose better text is longer."""
    scores = run_bundled(tmp_path, name, f"{name}:{file}", shared_data)
    text = (shared_data / file).read_text(encoding="utf-8")
    raw = json.loads(text) if file.endswith(".json") else [json.loads(line) for line in text.splitlines()]
    hits = []
    for row in raw:
        if name == "wmt-darr":
            hits.append(len(row["better"]) > len(row["worse"]))
            continue
        best = outcome_of([row[f"annotator{k}"] for k in (1, 2, 3)])
        if best:
            one, two = (len(str(row[f"response{k}"])) for k in (1, 2))
            hits.append(one > two if best == 1 else two > one)
    row = scores["length_chars"]["preference", "pooled", "pairwise_accuracy"]
    assert value(row["value"]) == pytest.approx(np.mean(hits), abs=1e-12)
    assert int(row["n"]) == len(hits)
