"""BERTScore against the package bert-score: live on MiniLM, by recorded values on a RoBERTa."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import time

import numpy as np
import pytest

from harness import Batch, Completion, DataError, Generation, HarnessError, Memo, NoValue, Sample, Whole
from harness_plugins import bertscore as module
from harness_plugins import minilm
from harness_plugins.bertscore import bertscore
from harness_plugins.bertscore_tables import baselines, layer_table

from ..golden import tiny_roberta

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("bert_score")

GOLDEN = json.loads(tiny_roberta.RECORD.read_text(encoding="utf-8"))
NAMES = ("bertscore_precision", "bertscore_recall", "bertscore")  # the package's order
SHARED = Memo()  # MiniLM is loaded once for all tests


def groups(pairs, **sample):
    return tuple(
        Generation(Sample(str(i), references=tuple(references), **sample), "m", (Completion(text),))
        for i, (text, references) in enumerate(pairs)
    )


def scored(pairs, *, wanted=(), shared=SHARED, sample=None, **options):
    return bertscore(device="cpu", **options)(Batch(groups(pairs, **sample or {}), frozenset(wanted), shared=shared))


def table(scores):
    return np.array([scores[name].values for name in NAMES]).T


def one(text, references, name="bertscore", **options):
    scores = scored([(text, references)], **options)[name]
    return scores.segment[0] if scores.status_of(0) == "ok" else (scores.status_of(0), scores.reasons[0])


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    return str(tiny_roberta.save(tmp_path_factory.mktemp("roberta") / "model", GOLDEN["recipe"], 64))


@pytest.fixture(scope="module")
def texts(shared_data):
    folder = shared_data / "metric_oracles/bert_score"
    return {path.stem: path.read_text(encoding="utf-8").splitlines() for path in folder.glob("*.txt")}


def package(candidates, references, **options):
    """What bert-score itself says, as a table of precision, recall, F1."""
    logging.disable(logging.WARNING)
    try:
        import bert_score

        options = {"num_layers": 6, "nthreads": 0, "device": "cpu", **options}
        found = bert_score.score(candidates, references, model_type=str(minilm.folder()), **options)
    finally:
        logging.disable(logging.NOTSET)
    return np.array([column.tolist() for column in found]).T


@pytest.mark.data
@pytest.mark.parametrize("idf", [False, True])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("layer", [6, 3, 0])
def test_minilm_equals_the_package(texts, idf, several, layer):
    columns = [texts["refs"], texts["refs2"]] if several else [texts["refs"]]
    references = [list(row) for row in zip(*columns, strict=True)]
    expected = package(texts["hyps"], references, idf=idf, num_layers=layer)
    found = scored(list(zip(texts["hyps"], references, strict=True)), idf=idf, layer=layer)
    assert np.abs(table(found) - expected).max() < 2e-6
    assert expected.std(axis=0).min() > 0.01


@pytest.mark.slow
@pytest.mark.data
def test_texts_of_many_lengths_equal_the_package(texts):
    some = slice(100, 700, 100)
    candidates, references = texts["hyps_long"][some], texts["refs_long"][some]
    candidates += [" ".join(texts["hyps_long"][200:240]), references[0]]  # the first is cut at 512 tokens
    references += [" ".join(texts["refs_long"][200:230]), candidates[0]]
    expected = package(candidates, references)
    found = scored([(text, [other]) for text, other in zip(candidates, references, strict=True)])
    assert np.abs(table(found) - expected).max() < 2e-6


@pytest.mark.data
def test_idf_of_a_file_is_the_packages_of_its_lines(texts, tmp_path):
    path = tmp_path / "references.txt"
    path.write_text("\n".join([*texts["refs"], "", *texts["refs2"]]), encoding="utf-8")
    import bert_score

    tokenizer = bert_score.utils.get_tokenizer(str(minilm.folder()))
    weights = bert_score.utils.get_idf_dict(texts["refs"] + texts["refs2"], tokenizer, nthreads=0)
    expected = package(texts["hyps"], texts["refs"], idf=weights)
    pairs = [(text, [other]) for text, other in zip(texts["hyps"], texts["refs"], strict=True)]
    found = scored(pairs, idf=str(path))
    assert np.abs(table(found) - expected).max() < 2e-6
    alone = scored(pairs[:1], idf=str(path))
    assert alone["bertscore"].values[0] == pytest.approx(expected[0, 2], abs=2e-6)  # it depends on no other sample
    assert alone["bertscore"].signature == found["bertscore"].signature


@pytest.mark.parametrize("maximum", [64, None])
@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["name"])
def test_roberta_equals_what_the_package_said_under_transformers_4(monkeypatch, tmp_path, case, maximum):
    """A folder of that name may hold "t5", and its tokenizer need not know its maximum."""
    folder = tiny_roberta.save(tmp_path / "t5-not", GOLDEN["recipe"], maximum)
    options = {"model": str(folder), "layer": case["layer"], "idf": case["idf"]}
    if "rescale" in case:
        monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: str(folder))
        options |= {"model": case["rescale"], "rescale": True, "language": "en"}
    found = table(scored(case["pairs"], shared=Memo(), **options))
    expected = np.array(case["values"])
    assert np.abs(found - expected).max() < (1e-5 if "rescale" in case else 2e-6)


def test_the_golden_values_need_the_space_before_a_text(monkeypatch, roberta):
    from harness_plugins import encoder_runtime

    monkeypatch.setattr(encoder_runtime, "_spaced", lambda folder, model_type: False)
    case = next(case for case in GOLDEN["cases"] if case["name"] == "layer 2")
    found = scored(case["pairs"], shared=Memo(), model=roberta, layer=2)
    assert np.abs(table(found) - np.array(case["values"])).max() > 1e-3


def test_the_layer_table_and_the_baselines_are_the_packages():
    import pandas as pd
    from bert_score.utils import model2layers

    assert layer_table() == model2layers
    folder = minilm.Path(sys.modules["bert_score"].__file__).parent / "rescale_baseline"
    seen = 0
    for path in folder.glob("**/*.tsv"):
        language, model = path.relative_to(folder).parts[0], "/".join(path.relative_to(folder).parts[1:])[:-4]
        layer = model2layers.get(model, 1)
        row = pd.read_csv(path).iloc[layer]
        assert baselines(model, layer)[language] == (row["F"], row["P"], row["R"])
        seen += 1
    assert seen > 50


def test_neither_making_nor_the_tables_import_anything_heavy():
    code = """
import sys
from harness_plugins.bertscore import bertscore
bertscore(model="roberta-large", rescale=True, language="en")
sys.exit(" ".join(n for n in ("torch", "transformers", "bert_score", "matplotlib", "pandas") if n in sys.modules) or None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_rescaling_is_linear_and_its_range_is_what_the_lowest_becomes(monkeypatch, roberta):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: roberta)
    f1, precision, recall = baselines("roberta-large", 2)["en"]
    pairs = [("The cat sat", ["A dog ran off", "The cat"]), ("", ["a dog"])]
    raw = table(scored(pairs, shared=Memo(), model=roberta, layer=2))
    options = {"model": "roberta-large", "layer": 2, "rescale": True}
    found = scored(pairs, shared=Memo(), language="en", **options)
    base = np.array([precision, recall, f1])
    assert np.abs(table(found) - (raw - base) / (1 - base)).max() < 1e-6
    assert "|rescale:en|" in found["bertscore"].signature
    for name, own in zip(NAMES, base, strict=True):
        info = found[name].info
        assert (info.low, info.high) == ((-1 - own) / (1 - own), 1.0)
        assert info.tolerance == pytest.approx(1e-5 / (1 - own))


def test_each_sample_has_the_baseline_of_its_language(monkeypatch, roberta):
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: roberta)
    name = "bert-base-multilingual-cased"
    there = baselines(name, 2)
    assert {"de", "zh"} <= set(there)
    made = [
        Generation(Sample(str(i), references=("The cat",), language=language), "m", (Completion("A cat sat"),))
        for i, language in enumerate(["de", "zh-Hans", "DE_at", None, "tlh"])
    ]
    metric = bertscore(model=name, layer=2, rescale=True, device="cpu")
    scores = metric(Batch(tuple(made), shared=Memo()))["bertscore"]
    raw = one("A cat sat", ["The cat"], model=roberta, layer=2, shared=Memo())
    assert scores.segment[:3] == [
        pytest.approx((raw - there[code][0]) / (1 - there[code][0])) for code in ("de", "zh", "de")
    ]
    assert [scores.status_of(i) for i in (3, 4)] == ["abstain", "abstain"]
    assert "not known" in scores.reasons[3]
    assert "'tlh'" in scores.reasons[4]
    assert "|rescale:de+none+zh|" in scores.signature
    part = metric(Batch(tuple(made[:1]), whole=Whole.of(g.sample for g in made), shared=Memo()))["bertscore"]
    assert part.signature == scores.signature
    assert scores.info.low == min((-1 - b[0]) / (1 - b[0]) for b in there.values())


CAT = "The cat sat on the mat."


def test_a_copy_gets_one_and_another_text_less():
    assert one(CAT, [CAT]) == pytest.approx(1.0, abs=1e-6)
    assert one(CAT, [CAT]) <= 1.0
    assert 0 < one("Stock prices fell sharply.", [CAT]) < 0.6


def test_a_completion_without_a_token_is_zero_as_in_the_package():
    assert (package(["x", "x"], [CAT, CAT])[:, 2] > 0).all()
    for text in ("", " \n", "\u3000", "\0\x01", "\u200b"):
        assert [one(text, [CAT], name) for name in NAMES] == [0.0] * 3


def test_blank_references_are_left_out_and_nothing_else_is_an_abstention():
    assert one(CAT, ["", "A cat sat.", " "]) == one(CAT, ["A cat sat."])
    for text in (CAT, ""):
        for name in NAMES:
            assert one(text, ["", "\n"], name) == (
                "abstain",
                "every reference is blank: there is nothing to compare with",
            )


def test_several_references_are_best_or_mean_of_each_score():
    references = [f"{CAT} Then it slept for hours in the hall by the old front door.", "The cat sat.", "Stocks fell."]
    single = np.array([[one(CAT, [text], name) for name in NAMES] for text in references])
    assert [one(CAT, references, name) for name in NAMES] == pytest.approx(single.max(axis=0), abs=1e-6)
    assert [one(CAT, references, name, multi="mean") for name in NAMES] == pytest.approx(single.mean(axis=0), abs=1e-6)
    assert single.argmax(axis=0)[0] != single.argmax(axis=0)[1]  # precision and recall differ on which is best


def test_idf_counts_each_samples_references_once_and_all_of_the_task():
    """By hand: of three references `cat` is in all (weight 0) and `sat` in one (log 4/2)."""
    pairs = [("sat", ["cat sat"]), ("cat", ["cat ran"]), ("cat", ["cat"])]
    scores = scored(pairs, idf=True)
    alone = one("sat", ["sat"], layer=6)
    assert 0 < scores["bertscore"].values[0] <= alone
    assert [scores["bertscore_recall"].status_of(i) for i in range(3)] == ["ok", "ok", "abstain"]
    assert [scores["bertscore_precision"].status_of(i) for i in range(3)] == ["ok", "abstain", "abstain"]
    assert "idf weight 0" in scores["bertscore"].reasons[1]
    made = groups(pairs)
    metric, whole = bertscore(idf=True, device="cpu"), Whole.of(g.sample for g in made)
    for place, generation in enumerate(made):
        found = metric(Batch((generation,), whole=whole, shared=SHARED))["bertscore"]
        assert found.segment == [pytest.approx(value) if (value := scores["bertscore"].segment[place]) else None]
        assert found.signature == scores["bertscore"].signature
    other = scored([*pairs, ("a", ["b"])], idf=True)["bertscore"]
    assert other.signature != scores["bertscore"].signature


CHINESE, NOISE = "我昨天去公园散步，看见许多孩子。", "😀 😀 😀"  # eleven of sixteen tokens are unknown, and all
UNKNOWN = (
    "more than 50 % of the tokens of {} are unknown to the encoder minilm: give `model` an encoder for its language"
)


def test_a_completion_that_the_encoder_cannot_read_has_no_value():
    for text in (CHINESE, NOISE, "😀"):
        for name in NAMES:
            assert one(text, [CAT], name) == ("abstain", UNKNOWN.format("the completion"))
            assert isinstance(one(text, [CAT], name, max_unknown=1), float)
    for text in ("The cat sat. 😀", "Thanks 😀", "北京 is a city.", ""):
        assert isinstance(one(text, [CAT]), float)


def test_a_reference_that_the_encoder_cannot_read_is_no_reference():
    assert one(CAT, [CHINESE, "A cat sat.", NOISE]) == one(CAT, ["A cat sat."])
    for text in (CAT, CHINESE, ""):
        for references in ([CHINESE], [NOISE, "", CHINESE]):
            found = one(text, references, sample={"language": "zh-Hans"})
            assert found == ("abstain", UNKNOWN.format("each reference") + " (the sample's: zh-Hans)")
    assert one("", [CHINESE], max_unknown=1) == 0.0


def test_as_many_as_allowed_may_be_unknown():
    """By hand: one of two tokens, one of three."""
    for text, share in (("Thanks 😀", 1 / 2), ("Great! 😀", 1 / 3)):
        assert isinstance(one(text, [CAT], max_unknown=share), float)
        assert one(text, [CAT], max_unknown=share - 0.01)[0] == "abstain"
    assert isinstance(one(CAT, [CAT], max_unknown=0), float)


def test_an_encoder_of_bytes_reads_everything(roberta):
    for text in (CHINESE, NOISE):
        assert isinstance(one(text, [text], model=roberta, layer=2, max_unknown=0), float)


def test_what_is_allowed_to_be_unknown_is_in_the_signature():
    signature = scored([(CAT, [CAT])])["bertscore"].signature
    assert scored([(CAT, [CAT])], max_unknown=0.5)["bertscore"].signature == signature
    assert scored([(CAT, [CAT])], max_unknown=1)["bertscore"].signature == f"{signature}|unknown:1.0"


@pytest.mark.parametrize("size", [1, 3, 7])
def test_which_completions_have_a_value_does_not_depend_on_the_others(size):
    pairs = [(text, references) for text in (CAT, CHINESE, "Great! 😀", "") for references in ([CAT], [CHINESE], [""])]
    whole, made, metric = scored(pairs)["bertscore"], groups(pairs), bertscore(device="cpu")
    parts = [metric(Batch(made[i : i + size], shared=SHARED))["bertscore"] for i in range(0, len(made), size)]
    assert [status for part in parts for status in part.status] == list(whole.status)
    assert [r for part in parts for r in part.reasons.values()] == list(whole.reasons.values())
    assert whole.status.tolist().count(0) == 3


@pytest.mark.parametrize(("size", "budget"), [(1, 0), (8, 0), (64, 0), (64, 1), (64, 100_000)])
def test_any_batching_agrees_within_the_tolerance(sized, size, budget):
    made, whole = sized
    metric = bertscore(device="cpu", batch_tokens=budget, max_unknown=1)
    parts = [metric(Batch(made[i : i + size], shared=SHARED)) for i in range(0, 64, size)]
    for place, info in enumerate(metric.infos):
        apart = np.abs(np.concatenate([part[info.name].values for part in parts]) - whole[:, place]).max()
        assert apart < info.tolerance / 5, f"{apart}"


@pytest.fixture(scope="module")
def sized():
    """64 groups whose texts have 1 to 24 words, and their values, each text alone."""
    words = "the a cat dog sat ran house blue quickly never 7 on under garden, why? naïve 北京 😀".split()
    stream = np.random.RandomState(5)
    pairs = [
        (" ".join(stream.choice(words, 1 + i // 3)), [" ".join(stream.choice(words, 1 + (i * 37) % 24))])
        for i in range(64)
    ]
    made = groups(pairs)
    metric = bertscore(device="cpu", max_unknown=1)
    rows = [metric(Batch((generation,), shared=SHARED)) for generation in made]
    return made, np.array([[row[info.name].values[0] for info in metric.infos] for row in rows])


@pytest.mark.parametrize("dtype", ["bfloat16"])
def test_a_half_type_is_near_and_says_so(sized, dtype):
    made, whole = sized
    metric = bertscore(device="cpu", dtype=dtype)
    shared = Memo()
    together = metric(Batch(made[:24], shared=shared))["bertscore"]
    alone = [metric(Batch((g,), shared=shared))["bertscore"].values[0] for g in made[:24]]
    assert np.abs(together.values - np.array(alone)).max() < metric.infos[0].tolerance
    assert 1e-5 < np.abs(together.values - whole[:24, 0]).max() < 0.05
    assert together.signature.endswith(f"|dtype:{dtype}")


AWKWARD = [
    "x" * 100_000,
    "word " * 20_000,
    "".join(map(chr, range(0x2F00))),
    "😀" * 25_000,
    "\0\x1b[31m\r",
    "[SEP] [CLS]",
]
AWKWARD += [chr(0x10000 * plane + 0x42) + "b" + chr(0x10000 * plane + 0x6A5) for plane in range(17)]


def test_long_and_strange_texts_have_values_in_seconds(roberta):
    start = time.perf_counter()
    pairs = [(text, [CAT]) for text in AWKWARD] + [(CAT, [text]) for text in AWKWARD]
    for options, unknown in (({"max_unknown": 1}, 0), ({}, 40), ({"model": roberta, "layer": 3}, 0)):
        for scores in scored(pairs, **options).values():
            values = scores.values[scores.status == 0]
            assert ((values >= -1) & (values <= 1)).all()
            assert np.isfinite(values).all()
            assert {scores.status_of(i) for i in range(len(pairs))} <= {"ok", "abstain"}
            assert (scores.status == 0).sum() >= len(pairs) - 6 - unknown
    assert time.perf_counter() - start < 60  # 4 s when nothing else runs


def test_the_formula_where_signs_differ_or_nothing_matches():
    assert module._harmonic(0.5, 1.0) == pytest.approx(2 / 3)
    assert module._harmonic(-0.5, -1.0) == pytest.approx(-2 / 3)
    assert module._harmonic(0.0, 0.0) == 0.0
    assert module._harmonic(0.0, 0.7) == 0.0
    for pair in ((0.1, -0.0999), (-0.2, 0.1), (1.0, -1.0)):  # the formula would give -199, 0.4 and a division by 0
        assert module._harmonic(*pair).status == "abstain"
    nothing = NoValue("abstain", "x")
    assert module._harmonic(nothing, 0.5) is module._harmonic(0.5, nothing) is nothing
    assert module._over_references([0.25, nothing, 0.5], "best") == 0.5
    assert module._over_references([0.25, nothing, 0.5], "mean") == 0.375
    assert module._over_references([nothing, nothing], "best") is nothing
    assert module._over_references([0.5, module._NOT_FINITE], "best").status == "invalid"


def test_a_vector_that_is_not_finite_is_invalid(tmp_path, monkeypatch):
    folder = tiny_roberta.save(tmp_path / "model", GOLDEN["recipe"], 64)
    from safetensors.numpy import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.2.output.LayerNorm.bias"][3] = math.inf
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name in NAMES:
        status, reason = one("a cat", ["a dog"], name, model=str(folder), layer=3, shared=Memo())
        assert status == "invalid"
        assert "not finite" in reason


def test_signatures(roberta):
    assert minilm.TRIED == "0.1.0"  # whose weights the hash below is of
    found = scored([(CAT, [CAT])])
    for name in NAMES:
        assert found[name].signature == f"{name}|model:minilm@80ce967f8ae0|layer:6|idf:no|rescale:no|multi:best"
    other = scored([(CAT, [CAT])], multi="mean", layer=2, model=roberta, shared=Memo())["bertscore"].signature
    assert other.startswith("bertscore|model:folder@")
    assert other.endswith("|layer:2|idf:no|rescale:no|multi:mean")


@pytest.mark.parametrize("options", [{}, {"layer": 2}, {"dtype": "bfloat16"}, {"multi": "mean"}])
def test_nothing_to_score_has_the_same_signature_and_loads_no_weights(options, monkeypatch):
    signature = scored([(CAT, [CAT])], **options)["bertscore"].signature
    monkeypatch.setattr("harness_plugins.encoder_runtime.load", None)
    empty = bertscore(device="cpu", **options)(Batch((), shared=Memo()))
    assert {name: scores.values.size for name, scores in empty.items()} == dict.fromkeys(NAMES, 0)
    assert empty["bertscore"].signature == signature


def test_other_weights_under_the_same_path_are_another_signature(tmp_path):
    folder = tmp_path / "model"
    signatures = set()
    for seed in (1, 2):
        tiny_roberta.save(folder, GOLDEN["recipe"] | {"seed": seed}, 64)
        signatures.add(scored([(CAT, [CAT])], model=str(folder), layer=1, shared=Memo())["bertscore"].signature)
    assert len(signatures) == 2


def test_only_wanted_scores_are_returned():
    assert set(scored([(CAT, [CAT])], wanted=["bertscore_recall"])) == {"bertscore_recall"}
    assert scored([(CAT, [CAT])], wanted=["bleu"]) == {}
    assert [(i.name, i.low, i.high, i.needs) for i in bertscore().infos] == [
        (name, -1.0, 1.0, {"references"}) for name in ("bertscore", "bertscore_precision", "bertscore_recall")
    ]


def test_groups_keep_their_order():
    completions = tuple(Completion(text) for text in (CAT, "", "A dog."))
    made = (
        Generation(Sample("1", references=(CAT,)), "m", completions),
        Generation(Sample("2", references=("A dog.", "x")), "m", completions[::-1]),
    )
    found = bertscore(device="cpu")(Batch(made, shared=SHARED))["bertscore"].segment
    assert [found[0], found[1], found[3], found[4]] == [pytest.approx(1), 0.0, pytest.approx(1), 0.0]
    assert 0 < found[2] < 0.95
    assert 0 < found[5] < 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "some/unknown"}, "layer: .*none for 'some/unknown'; give"),
        ({"layer": 7}, "layer: 7 is not among 0 to 6"),
        ({"layer": -1}, "layer: -1"),
        ({"multi": "max"}, "multi: 'max'.*best, mean"),
        ({"rescale": True}, "rescale: bert-score has no baseline for layer 6 of 'minilm'"),
        ({"rescale": True, "language": "en"}, "rescale: .*no baseline"),
        ({"model": "roberta-large", "rescale": True, "language": "fr"}, "language: .*'fr'; there is en"),
        ({"model": "roberta-large", "rescale": True, "layer": 99}, "rescale: .*layer 99"),
        ({"language": "en"}, "language: .*rescale"),
        ({"idf": "/no/such/file"}, "idf: there is no file '/no/such/file'"),
        ({"dtype": "float64"}, "dtype"),
        ({"device": "-"}, "device"),
        ({"max_unknown": -0.5}, "max_unknown: -0.5 .*0 to 1"),
        ({"model": "./nowhere"}, "model"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        bertscore(**options)


def test_a_folder_needs_a_layer_that_it_has(roberta):
    with pytest.raises(ValueError, match=r"layer: .*none for '.*model'; give"):
        bertscore(model=roberta)
    with pytest.raises(ValueError, match="layer: 4 is not among 0 to 3"):
        bertscore(model=roberta, layer=4)
    assert bertscore(model="roberta-large")._options.layer == 17  # not loaded, only looked up


def test_an_idf_file_without_text_is_an_error(tmp_path):
    for content in (b"\n \n", b"\xff\xfe\xfa"):
        (tmp_path / "idf.txt").write_bytes(content)
        with pytest.raises(DataError, match=r"bertscore: idf: .*idf\.txt"):
            one(CAT, [CAT], idf=str(tmp_path / "idf.txt"))


def test_a_hub_that_cannot_be_reached_is_an_error_with_a_reason(monkeypatch):
    def fail(name, **more):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(HarnessError, match="bertscore: cannot fetch the model 'roberta-large': no network"):
        one(CAT, [CAT], model="roberta-large", shared=Memo())
