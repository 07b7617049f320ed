"""Sentiment by a classifier, against transformers' own text-classification pipeline on tiny models."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest

from harness import Batch, Completion, Generation, HarnessError, Memo, Sample
from harness_plugins import sentiment_model
from harness_plugins.sentiment import sentiment

pytest.importorskip("transformers")

WORDS = ["gut", "schlecht", "sehr", "nicht", "das", "haus", "猫", "好", "坏", "ok"]
LABELS = ("negative", "neutral", "positive")


def save_classifier(folder, labels=LABELS, kind="bert", pad=True, seed=0, **config):
    """Two layers over a handful of words, with weights large enough that texts differ visibly."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    names = ["<pad>", "<s>", "</s>", "<unk>"]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names + WORDS)}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"unk_token": "<unk>", "eos_token": "</s>"} | ({"pad_token": "<pad>"} if pad else {})
    transformers.PreTrainedTokenizerFast(tokenizer_object=raw, **special).save_pretrained(str(folder))
    torch.manual_seed(seed)
    size = {"vocab_size": 20, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
            "num_attention_heads": 4, "max_position_embeddings": 40, "pad_token_id": 0 if pad else None,
            "initializer_range": 0.5, "id2label": dict(enumerate(labels)),
            "label2id": {label: i for i, label in enumerate(labels)}}  # fmt: skip
    names = {"bert": "Bert", "roberta": "Roberta", "llama": "Llama"}
    settings = getattr(transformers, f"{names[kind]}Config")(**(size | config))
    getattr(transformers, f"{names[kind]}ForSequenceClassification")(settings).save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("classifiers") / "bert")


@pytest.fixture(scope="session")
def roberta(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("classifiers") / "roberta", kind="roberta")


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("classifiers") / "llama", kind="llama")


@pytest.fixture(scope="session")
def llama_without_padding(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("classifiers") / "bare", kind="llama", pad=False)


def texts(count, seed=1):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(1, 15))) for _ in range(count)]


def polarities(folder, some, shared=None, **options):
    group = Generation(Sample("1", prompt="das"), "m", tuple(map(Completion, some)))
    batch = Batch((group,), frozenset(["polarity"]), shared=shared or Memo())
    return sentiment(model=str(folder), device="cpu", **options)(batch)["polarity"]


def by_pipeline(folder, text, numbers):
    from transformers import pipeline

    (answer,) = pipeline("text-classification", model=str(folder), device="cpu")([text], top_k=None)
    assert sum(entry["score"] for entry in answer) == pytest.approx(1, abs=1e-6)
    return sum(numbers[entry["label"]] * entry["score"] for entry in answer)


@pytest.mark.parametrize("model", ["bert", "roberta", "llama", "llama_without_padding"])
def test_polarity_is_the_expectation_under_the_pipelines_probabilities(model, request):
    folder = request.getfixturevalue(model)
    some = texts(8)
    expected = [by_pipeline(folder, text, {"negative": -1, "neutral": 0, "positive": 1}) for text in some]
    assert np.ptp(expected) > 0.1
    assert polarities(folder, some).segment == pytest.approx(expected, abs=1e-5)


def test_numbers_of_ones_own(bert):
    numbers = {"negative": 0.5, "neutral": -0.25, "positive": 0.25}
    found = polarities(bert, texts(3), labels=numbers)
    assert found.segment == pytest.approx([by_pipeline(bert, text, numbers) for text in texts(3)], abs=1e-5)
    assert found.signature.endswith("|labels:negative=0.5,neutral=-0.25,positive=0.25")


def test_batches_stay_within_the_tolerance(bert, monkeypatch):
    from harness_plugins import classifier_runtime

    some = texts(60, seed=4)
    whole = polarities(bert, some)
    assert whole.info.tolerance == 1e-4
    monkeypatch.setattr(classifier_runtime, "_BATCH_TOKENS", 1)
    assert np.abs(polarities(bert, some).values - whole.values).max() < whole.info.tolerance
    assert np.abs(polarities(bert, some[::-1]).values[::-1] - whole.values).max() < whole.info.tolerance


def test_consistency_and_polarity_agree_and_other_languages_have_values(bert):
    sample = Sample("1", prompt="gut 好", references=("schlecht", "sehr 坏"), language="zh")
    batch = Batch((Generation(sample, "m", (Completion("das 猫"), Completion("gut 好"))),))
    own = {text: polarities(bert, [text]).segment[0] for text in ("das 猫", "gut 好", "schlecht", "sehr 坏")}
    prompt = sentiment(model=str(bert), device="cpu")(batch)
    assert prompt["sentiment"].segment[1] == pytest.approx(1, abs=1e-4)
    assert prompt["sentiment"].segment[0] == pytest.approx(1 - abs(own["das 猫"] - own["gut 好"]) / 2, abs=1e-4)
    references = sentiment(model=str(bert), device="cpu", against="references")(batch)["sentiment"].segment
    mean = (own["schlecht"] + own["sehr 坏"]) / 2
    assert references[0] == pytest.approx(1 - abs(own["das 猫"] - mean) / 2, abs=1e-4)
    assert len({round(value, 3) for value in own.values()}) == 4


def test_a_target_is_compared_too(bert):
    sample = Sample("1", metadata={"sentiment": "positive"})
    batch = Batch((Generation(sample, "m", (Completion("gut"),)),))
    found = sentiment(model=str(bert), device="cpu", against="target")(batch)["sentiment"].segment
    assert found == pytest.approx([1 - abs(polarities(bert, ["gut"]).segment[0] - 1) / 2], abs=1e-4)


@pytest.mark.parametrize("text", ["", " ", "\n\t\u3000"])
def test_empty_texts_abstain(text, bert):
    found = polarities(bert, [text, "gut"])
    assert found.status_of(0) == "abstain"
    assert "the completion is empty" in found.reasons[0]
    assert found.status_of(1) == "ok"
    batch = Batch((Generation(Sample("1", prompt=text), "m", (Completion("gut"),)),))
    assert "the prompt is empty" in sentiment(model=str(bert), device="cpu")(batch)["sentiment"].reasons[0]


@pytest.mark.parametrize(("model", "longest"), [("bert", 40), ("roberta", 39), ("llama", 40)])
def test_a_text_beyond_the_models_maximum_is_cut(model, longest, request):
    """RoBERTa's positions start after the padding's own (here 0), so that it takes one fewer than it has."""
    folder = request.getfixturevalue(model)
    long = " ".join(random.Random(2).choices(WORDS, k=20_000))
    words = long.split()
    cut, shorter = " ".join(words[:longest]), " ".join(words[: longest - 1])
    found = polarities(folder, [long, cut, shorter]).segment
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0] != pytest.approx(found[2], abs=1e-5)


def test_every_unicode_plane_has_a_value(bert):
    some = [chr(0x10000 * plane + 0x42) + " \0 gut" for plane in range(17)] + ["\ud800 gut", "\u202e gut\u2066"]
    assert not polarities(bert, some).status.any()


@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        (("POSITIVE", "NEGATIVE"), (1, -1)),
        (("negative", "neutral", "positive"), (-1, 0, 1)),
        (("1 star", "2 stars", "3 stars", "4 stars", "5 stars"), (-1, -0.5, 0, 0.5, 1)),
        (("Very Negative", "Negative", "Neutral", "Positive", "Very Positive"), (-1, -0.5, 0, 0.5, 1)),
        (("POS", "NEU", "NEG"), (1, 0, -1)),
    ],
)
def test_labels_that_say_what_they_mean(labels, numbers):
    assert dict(sentiment_model.numbers_of("m", labels, None)) == dict(zip(labels, numbers, strict=True))


@pytest.mark.parametrize(
    ("labels", "given", "message"),
    [
        (("LABEL_0", "LABEL_1"), None, "'LABEL_0', 'LABEL_1'.*labels: {LABEL_0: -1"),
        (("joy", "anger"), None, "'joy', 'anger'"),
        (("negative", "positive", "other"), None, "do not say what they mean"),
        (("joy", "anger"), {"joy": 1}, "'joy', 'anger'; 'anger' has no number"),
        (("joy", "anger"), {"joy": 1, "anger": -1, "sorrow": 0}, "'joy', 'anger'; 'sorrow' is none of them"),
        (("joy", "anger"), {"Joy": 1, "anger": -1}, "'Joy' is none of them"),
        (("joy", "joy"), {"joy": 1}, "same name"),
    ],
)
def test_labels_that_do_not_fit_the_model_are_refused_with_its_own(labels, given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        sentiment_model.numbers_of("m", labels, given)
    config = {"model_type": "bert", "id2label": {str(i): label for i, label in enumerate(labels)}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    if given is None or len(set(given.values())) > 1:
        with pytest.raises(ValueError, match=message):
            sentiment(model=str(tmp_path), labels=given)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "'LABEL_0', 'LABEL_1'"),
        ({"id2label": {"0": "score"}}, "gives a number, not labels"),
        ({"id2label": {"0": "positive", "1": "negative"}, "problem_type": "regression"}, "gives a number"),
        ({"id2label": {"0": "positive", "1": "negative"}, "problem_type": "multi_label_classification"}, "several labels"),
        ({"num_labels": 1}, "gives a number, not labels"),
        ({"num_labels": 3}, "'LABEL_0', 'LABEL_1', 'LABEL_2'"),
        ({"id2label": {"a": "positive", "b": "negative"}}, "keys of id2label"),
        ([], "no object"),
    ],
)  # fmt: skip
def test_models_that_choose_no_label_are_refused(config, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=message):
        sentiment(model=str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": {"positive": 1, "negative": -1}}, "labels: .*give `model`"),
        ({"revision": "main"}, "revision: .*give `model`"),
        ({"model": "/no/such/folder"}, "no folder '/no/such/folder'"),
        ({"model": "org/name", "labels": {"a": 2, "b": 0}}, "'a' is 2"),
        ({"model": "org/name", "labels": {"a": True, "b": 0}}, "'a' is True"),
        ({"model": "org/name", "labels": {"a": 1, "b": 1}}, "all labels have the same"),
        ({"model": "org/name", "labels": {}}, "labels: empty"),
        ({"model": "org/name", "device": "gpu!"}, "device: 'gpu!' is none"),
        ({"device": "cuda"}, "device: .*give `model`"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        sentiment(**options)


def test_a_folder_without_a_model_is_refused(tmp_path, bert):
    with pytest.raises(ValueError, match=r"config\.json"):
        sentiment(model=str(tmp_path))
    with pytest.raises(ValueError, match="revision"):
        sentiment(model=str(bert), revision="main")


def test_the_signature_names_weights_and_labels(bert, llama):
    found = polarities(bert, ["gut"])
    start, _, labels = found.signature.partition("|labels:")
    assert start.startswith("polarity|model:sha256:")
    assert labels == "negative=-1,neutral=0,positive=1"
    assert polarities(llama, ["gut"]).signature.partition("|labels:")[0] != start
    empty = sentiment(model=str(bert), device="cpu")(Batch(()))
    assert empty["polarity"].signature == found.signature
    assert empty["sentiment"].signature == found.signature.replace("polarity|", "sentiment|") + "|against:prompt"


def test_weights_that_are_missing_are_no_random_ones(tmp_path, make_causal):
    folder = make_causal(tmp_path / "causal")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {"0": "negative", "1": "positive"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(HarnessError, match="would stay random"):
        polarities(folder, ["ba"])


def test_a_folder_without_its_tokenizer_is_refused(bert, tmp_path):
    """transformers makes one up that knows no word, and every text of a length would have the same sentiment."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(bert / name, tmp_path / name)
    with pytest.raises(HarnessError, match="tokenizer"):
        polarities(tmp_path, ["gut"])


@pytest.mark.parametrize("problem", ["regression", "multi_label_classification"])
def test_a_hubs_model_that_chooses_no_label_is_an_error_that_is_kept(problem, tmp_path):
    """Its configuration is there only at the first use; a ValueError would let it be tried for every sample."""
    from harness_plugins import classifier_runtime

    folder = save_classifier(tmp_path / "other", problem_type=problem)
    with pytest.raises(HarnessError, match="sentiment needs one that chooses among labels"):
        classifier_runtime.load(str(folder), "cpu", None)


def test_the_model_is_loaded_once_and_a_failure_kept(bert, monkeypatch):
    from harness_plugins import classifier_runtime

    loads, load, shared = [], classifier_runtime.load, Memo()
    monkeypatch.setattr(classifier_runtime, "load", lambda *given: loads.append(given) or load(*given))
    for numbers in (None, None, {"negative": 1.0, "neutral": 0.0, "positive": -1.0}):
        polarities(bert, ["gut"], shared, labels=numbers)
    assert len(loads) == 1

    def fails(*given):
        loads.append(given)
        raise HarnessError("no weights")

    monkeypatch.setattr(classifier_runtime, "load", fails)
    shared = Memo()
    for _ in range(3):
        with pytest.raises(HarnessError, match="no weights"):
            polarities(bert, ["gut"], shared)
    assert len(loads) == 2


def test_logits_that_are_no_numbers_are_invalid(bert, monkeypatch):
    from harness_plugins.classifier_runtime import Classifier

    def broken(self, texts):
        return [dict.fromkeys(LABELS, float("nan"))] * len(texts)

    monkeypatch.setattr(Classifier, "shares", broken)
    found = polarities(bert, ["gut"])
    assert found.status_of(0) == "invalid"
    assert "no number" in found.reasons[0]
