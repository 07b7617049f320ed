"""Relevance against its definition, computed by a loop of its own."""

from __future__ import annotations

import gzip
import json
import math
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from harness import Batch, Completion, Generation, HarnessError, Memo, Message, Sample
from harness_plugins import minilm
from harness_plugins.bertscore import bertscore
from harness_plugins.relevance import Recipe, recipe_of, relevance

from ..golden import tiny_roberta

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
runtime = pytest.importorskip("harness_plugins.encoder_runtime")

RECIPE = json.loads(tiny_roberta.RECORD.read_text(encoding="utf-8"))["recipe"]
SHARED = Memo()  # MiniLM is loaded once for all tests
CAT = "The cat sat on the mat."
TEXTS = [
    CAT,
    "A kitten was sitting on a rug.",
    "Stock prices fell sharply after the announcement.",
    "Wie geht es dir?",
    "我喜欢读书",
    "😀",
    "cat",
    "No cat ever sat on the mat. " * 60,
]


def scored(completions, sample, *, shared=SHARED, wanted=(), **options):
    made = Generation(sample, "m", tuple(map(Completion, completions)))
    return relevance(device="cpu", **options)(Batch((made,), frozenset(wanted), shared=shared))["relevance"]


def one(text, prompt=None, references=(), **options):
    if references:
        options = {"against": "references", **options}
    scores = scored([text], Sample("1", prompt=prompt, references=tuple(references)), **options)
    return scores.segment[0] if scores.status_of(0) == "ok" else (scores.status_of(0), scores.reasons[0])


@pytest.fixture(scope="module")
def reference():
    """Embeddings by transformers alone: one text at a time, padded, the mean over the attention mask by a plain loop."""
    folder = str(minilm.folder())
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()

    def embed(text, pooling="mean", maximum=256):
        ids = tokenizer(text, max_length=maximum, truncation=True, padding="max_length", return_tensors="pt")
        with torch.no_grad():
            tokens = model(**ids).last_hidden_state[0].double()
        if pooling == "cls":
            return tokens[0]
        total, count = torch.zeros(tokens.shape[1], dtype=torch.float64), 0
        for vector, there in zip(tokens, ids["attention_mask"][0].tolist(), strict=True):
            if there:
                total, count = total + vector, count + 1
        return total / count

    def cosine(one, other, **options):
        a, b = embed(one, **options), embed(other, **options)
        return float((a @ b) / math.sqrt((a @ a) * (b @ b)))

    return cosine


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_it_is_the_cosine_of_mean_pooled_embeddings(reference, pooling):
    prompt = TEXTS[1]
    found = scored(TEXTS, Sample("1", prompt=prompt), pooling=pooling, max_unknown=1).segment
    expected = [reference(text, prompt, pooling=pooling) for text in TEXTS]
    assert found == pytest.approx(expected, abs=2e-6)
    assert max(expected) - min(expected) > 0.2
    other = [reference(text, prompt, pooling="cls" if pooling == "mean" else "mean") for text in TEXTS]
    assert np.abs(np.array(other) - found).max() > 1e-3


def test_a_text_is_cut_at_256_tokens_where_the_model_says_so(reference):
    start = "the cat sat on the mat and " * 36  # 252 tokens and two marks
    assert one(f"{start} slept. Quarterly profits rose.", CAT) == pytest.approx(
        one(f"{start} slept. Ships sank.", CAT), abs=1e-6
    )
    long = TEXTS[-1] + TEXTS[2] * 5
    assert one(long, CAT) == pytest.approx(reference(long, CAT), abs=2e-6)
    assert abs(reference(long, CAT) - reference(long, CAT, maximum=512)) > 1e-4


def test_numbers_that_the_models_card_and_common_sense_expect():
    """The direction: nearer texts get more."""
    same, near, far = one(CAT, CAT), one(TEXTS[1], CAT), one(TEXTS[2], CAT)
    assert same == pytest.approx(1, abs=1e-6)
    assert same <= 1
    assert 0.5 < near < 0.9
    assert far < 0.2


def test_a_chat_is_its_last_user_turn():
    chat = (
        Message("system", "You know about stocks."),
        Message("user", "How are stocks?"),
        Message("assistant", "They fell."),
        Message("user", CAT),
        Message("assistant", "Stocks"),
    )
    assert one(TEXTS[1], chat) == pytest.approx(one(TEXTS[1], CAT), abs=1e-6)


def test_references_are_best_or_mean():
    references = [TEXTS[2], TEXTS[1], "A cat sat."]
    single = [one(CAT, references=[text]) for text in references]
    assert one(CAT, references=references) == pytest.approx(max(single), abs=1e-6)
    assert one(CAT, references=references, multi="mean") == pytest.approx(sum(single) / 3, abs=1e-6)
    assert one(CAT, references=["", *references, " "], multi="mean") == pytest.approx(sum(single) / 3, abs=1e-6)
    assert single[0] == pytest.approx(one(CAT, TEXTS[2]), abs=1e-6)


@pytest.mark.parametrize("blank", ["", " \n\t", "\u3000", "\0", "\u200b"])
def test_blank_texts(blank):
    assert one(blank, CAT) == 0.0
    assert one(blank, references=[CAT, blank]) == 0.0
    for text in (CAT, blank):
        assert one(text, blank) == ("abstain", "the prompt is blank: there is nothing to be relevant to")
        assert one(text, references=[blank, ""]) == (
            "abstain",
            "every reference is blank: there is nothing to compare with",
        )


CHINESE, NOISE = "我昨天去公园散步，看见许多孩子。", "😀 😀 😀"  # eleven of sixteen tokens are unknown, and all
UNKNOWN = (
    "more than 50 % of the tokens of {} are unknown to the encoder minilm: give `model` an encoder for its language"
)


@pytest.mark.parametrize("strange", [CHINESE, NOISE, "😀"])
def test_texts_that_the_encoder_cannot_read_have_no_value(strange):
    for against in ({"prompt": CAT}, {"references": ["", CAT]}):
        assert one(strange, **against) == ("abstain", UNKNOWN.format("the completion"))
        assert isinstance(one(strange, **against, max_unknown=1), float)
    for text in (CAT, strange, ""):
        assert one(text, strange) == ("abstain", UNKNOWN.format("the prompt"))
        assert one(text, references=[strange, ""]) == ("abstain", UNKNOWN.format("each reference"))
    assert one(CAT, references=[strange, "A cat sat.", strange], multi="mean") == one(CAT, references=["A cat sat."])
    assert one("", strange, max_unknown=1) == 0.0


def test_unknown_texts_do_look_alike_which_is_why():
    """What the option is for: a greeting and a word for gluttons are one and the same to the encoder."""
    assert one("您好吗", "饕餮们", max_unknown=1) == pytest.approx(1, abs=1e-6)
    assert one("您好吗", "饕餮们")[0] == "abstain"


def test_the_reason_names_the_samples_language():
    scores = scored([CAT], Sample("1", prompt=CHINESE, language="zh-Hans"))
    assert scores.reasons[0] == UNKNOWN.format("the prompt") + " (the sample's: zh-Hans)"


def test_as_many_as_allowed_may_be_unknown():
    """By hand: one of two tokens, one of three."""
    for text, share in (("Thanks 😀", 1 / 2), ("Great! 😀", 1 / 3)):
        assert isinstance(one(text, CAT, max_unknown=share), float)
        assert one(text, CAT, max_unknown=share - 0.01)[0] == "abstain"
    assert isinstance(one(CAT, CAT, max_unknown=0), float)


def test_what_is_cut_off_is_not_counted():
    assert isinstance(one("cat " * 254 + NOISE * 200, CAT), float)
    assert one(CHINESE * 16 + CAT * 200, CAT)[0] == "abstain"


@pytest.mark.parametrize("size", [1, 3, 7])
def test_which_completions_have_a_value_does_not_depend_on_the_others(size):
    pairs = [(text, prompt) for text in (CAT, CHINESE, "Great! 😀", "") for prompt in (CAT, CHINESE, "")]
    made = tuple(Generation(Sample(str(i), prompt=p), "m", (Completion(t),)) for i, (t, p) in enumerate(pairs))
    metric = relevance(device="cpu")
    whole = metric(Batch(made, shared=SHARED))["relevance"]
    parts = [metric(Batch(made[i : i + size], shared=SHARED))["relevance"] for i in range(0, len(made), size)]
    assert [status for part in parts for status in part.status] == list(whole.status)
    assert [r for part in parts for r in part.reasons.values()] == list(whole.reasons.values())
    assert whole.status.tolist().count(0) == 3


def share_with_a_value(texts):
    """Of these texts, each as its own reference."""
    made = tuple(
        Generation(Sample(str(i), references=(text,), language="zh"), "m", (Completion(text),))
        for i, text in enumerate(texts)
    )
    scores = relevance(device="cpu", against="references")(Batch(made, shared=SHARED))["relevance"]
    assert {scores.status_of(i) for i in range(len(made))} <= {"ok", "abstain"}
    return sum(scores.status == 0) / len(made)


DATA = Path(__file__).parents[2] / "tasks/harness_tasks/data"


@pytest.mark.parametrize("path", sorted(DATA.glob("*_*.jsonl")), ids=lambda path: path.stem)
def test_of_the_bundled_references_all_english_ones_are_read_and_few_chinese_ones(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = [text for line in lines for text in json.loads(line)["references"]][::4]
    assert len(texts) > 10
    share = share_with_a_value(texts)
    assert share == 1 if path.stem.endswith("_en") else share < 0.5, share


@pytest.mark.slow
@pytest.mark.data
def test_ordinary_english_and_german_is_read(shared_data):
    rated = json.loads((shared_data / "human_ratings/unieval_topical_chat.json").read_text(encoding="utf-8"))
    with gzip.open(
        shared_data / "metric_oracles/sacrebleu/wmt17_en_de_systems.json.gz", "rt", encoding="utf-8"
    ) as file:
        (_, german), *_ = json.load(file)
    assert share_with_a_value([row["system_output"] for row in rated]) == 1
    assert share_with_a_value(german[::10]) == 1


@pytest.mark.parametrize(("size", "budget"), [(1, 0), (8, 0), (64, 0), (64, 1), (64, 100_000)])
def test_any_batching_agrees_within_the_tolerance(sized, size, budget):
    made, whole = sized
    metric = relevance(device="cpu", batch_tokens=budget, max_unknown=1)
    parts = [metric(Batch(made[i : i + size], shared=SHARED))["relevance"].values for i in range(0, 64, size)]
    apart = np.abs(np.concatenate(parts) - whole).max()
    assert apart < metric.infos[0].tolerance / 5, f"{apart}"


@pytest.fixture(scope="module")
def sized():
    """64 groups whose texts have 1 to 24 words, and their values, each alone."""
    words = "the a cat dog sat ran house blue quickly never 7 on under garden, why? naïve 北京 😀".split()
    stream = np.random.RandomState(6)
    pairs = [
        (" ".join(stream.choice(words, 1 + i // 3)), " ".join(stream.choice(words, 1 + (i * 37) % 24)))
        for i in range(64)
    ]
    made = tuple(Generation(Sample(str(i), prompt=p), "m", (Completion(t),)) for i, (t, p) in enumerate(pairs))
    metric = relevance(device="cpu", max_unknown=1)
    return made, np.array([metric(Batch((g,), shared=SHARED))["relevance"].values[0] for g in made])


def counting(monkeypatch, owner, name):
    calls, original = [], getattr(owner, name)
    monkeypatch.setattr(owner, name, lambda *args, **more: calls.append(args) or original(*args, **more))
    return calls


@pytest.mark.parametrize("order", [(relevance, bertscore), (bertscore, relevance)])
def test_with_bertscore_the_encoder_is_loaded_once_and_each_text_embedded_once(monkeypatch, order):
    loads = counting(monkeypatch, runtime, "load")
    shared = Memo()
    batch = Batch(
        (Generation(Sample("1", prompt=TEXTS[1], references=(TEXTS[1],)), "m", (Completion(CAT),)),), shared=shared
    )
    metrics = [make(device="cpu") for make in order]
    forward = counting(monkeypatch, runtime.Encoder, "_forward")
    found = {name: scores.segment for metric in metrics for name, scores in metric(batch).items()}
    assert len(loads) == 1
    assert sum(len(rows) for _, _, rows in forward) == 2
    assert found["relevance"] == [pytest.approx(one(CAT, TEXTS[1]), abs=1e-6)]
    metrics[0](Batch(batch.generations, shared=shared))  # another batch, the same model
    assert len(loads) == 1


def test_signatures():
    signature = scored([CAT], Sample("1", prompt=CAT)).signature
    assert signature == "relevance|model:minilm@80ce967f8ae0|against:prompt|pooling:mean|max:256"
    options = {"against": "references", "multi": "mean", "pooling": "cls", "dtype": "bfloat16"}
    assert scored([CAT], Sample("1", prompt=CAT), max_unknown=0.25).signature == f"{signature}|unknown:0.25"
    other = scored([CAT], Sample("1", references=(CAT,)), **options).signature
    expected = "relevance|model:minilm@80ce967f8ae0|against:references|pooling:cls|max:256|multi:mean|dtype:bfloat16"
    assert other == expected
    empty = relevance(device="cpu")(Batch((), shared=Memo()))["relevance"]
    assert (empty.signature, empty.values.size) == (signature, 0)


@pytest.mark.parametrize(("against", "needs"), [("prompt", {"prompt"}), ("references", {"references"})])
def test_needs_follow_the_option(against, needs):
    (info,) = relevance(against=against).infos
    assert (info.needs, info.low, info.high, info.higher_is_better) == (needs, -1.0, 1.0, True)
    assert relevance(against=against)(Batch((), frozenset(["bleu"]))) == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": "promt"}, "against: 'promt'.*prompt, references"),
        ({"multi": "max"}, "multi: 'max'.*best, mean"),
        ({"pooling": "max"}, "pooling: 'max'.*auto, mean, cls"),
        ({"model": "./nowhere"}, "model: .*no folder"),
        ({"dtype": "int8"}, "dtype"),
        ({"max_unknown": 1.5}, "max_unknown: 1.5 .*0 to 1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        relevance(**options)


def folder_with(tmp_path, files):
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return tmp_path


MODULES = [{"path": "", "type": "sentence_transformers.models.Transformer"}]
POOLING = [{"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
OLD = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": False, "pooling_mode_max_tokens": False}


@pytest.mark.parametrize(
    ("files", "recipe"),
    [
        ({}, Recipe("mean", None)),
        ({"1_Pooling/config.json": OLD | {"pooling_mode_mean_tokens": True}}, Recipe("mean", None)),
        (
            {"1_Pooling/config.json": OLD | {"pooling_mode_cls_token": True, "include_prompt": True}},
            Recipe("cls", None),
        ),
        ({"1_Pooling/config.json": OLD | {"pooling_mode_mean_sqrt_len_tokens": True}}, Recipe("mean", None)),
        ({"1_Pooling/config.json": {"pooling_mode": "cls"}}, Recipe("cls", None)),
        ({"sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": True}}, Recipe("mean", 128, True)),
        ({"sentence_bert_config.json": {"max_seq_length": None}}, Recipe("mean", None)),
        ({"config_sentence_transformers.json": {"default_prompt_name": None}}, Recipe("mean", None)),
        (
            {
                "modules.json": [*MODULES, {"path": "3_Pooling", "type": "x.Pooling"}],
                "3_Pooling/config.json": {"pooling_mode": "cls"},
            },
            Recipe("cls", None),
        ),
    ],
)
def test_recipes(tmp_path, files, recipe):
    assert recipe_of(folder_with(tmp_path, files)) == recipe


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"modules.json": [*MODULES, *POOLING, {"path": "2_Dense", "type": "x.Dense"}]}, "has the module Dense"),
        ({"config_sentence_transformers.json": {"default_prompt_name": "query"}}, r"puts a prompt \(query\)"),
        ({"1_Pooling/config.json": OLD | {"pooling_mode_max_tokens": True}}, r"pooling is max_tokens \(option"),
        (
            {"1_Pooling/config.json": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}},
            "pooling is cls and mean",
        ),
        ({"modules.json": "{"}, r"cannot read .*modules\.json"),
        ({"modules.json": {}}, "holds no list"),
        ({"sentence_bert_config.json": [1]}, "holds no dict"),
    ],
)
def test_what_a_model_asks_for_and_is_not_done_is_refused(tmp_path, files, message):
    folder = folder_with(tmp_path, files)
    with pytest.raises(HarnessError, match=f"^relevance: .*{message}"):
        recipe_of(folder)


def test_an_option_overrules_the_pooling_of_a_folder(tmp_path):
    folder = folder_with(tmp_path, {"1_Pooling/config.json": OLD | {"pooling_mode_max_tokens": True}})
    assert recipe_of(folder, "cls") == Recipe("cls", None)


def test_the_packaged_folders_recipe():
    assert recipe_of(minilm.folder()) == Recipe("mean", 256)


def test_any_encoder_by_its_folder(tmp_path):
    """Without sentence-transformers' files: mean pooling, cut at its positions, and no space put before a text."""
    folder = tiny_roberta.save(tmp_path / "model", RECIPE, None)
    scores = scored([CAT, "dogs " * 200], Sample("1", prompt=CAT), model=str(folder), shared=Memo())
    assert scores.signature.startswith("relevance|model:folder@")
    assert scores.signature.endswith("|against:prompt|pooling:mean|max:model")
    model = transformers.AutoModel.from_pretrained(str(folder)).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
    rows = [tokenizer(CAT)["input_ids"], tokenizer("dogs " * 200)["input_ids"]]
    rows[1] = [*rows[1][:63], rows[1][-1]]
    with torch.no_grad():
        a, b = (model(torch.tensor([row])).last_hidden_state[0].double().mean(0) for row in rows)
    expected = float(a @ b / (a.norm() * b.norm()))
    assert scores.segment == pytest.approx([1.0, expected], abs=2e-6)


def test_a_model_that_knows_no_capitals_is_given_none(tmp_path):
    folder = tiny_roberta.save(tmp_path / "model", RECIPE, None)
    folder_with(folder, {"sentence_bert_config.json": {"do_lower_case": True}})
    assert one("THE CAT", "the cat", model=str(folder), shared=Memo()) == pytest.approx(1, abs=1e-6)
    shutil.copytree(folder, tmp_path / "other")
    (tmp_path / "other/sentence_bert_config.json").unlink()
    assert one("THE CAT", "the cat", model=str(tmp_path / "other"), shared=Memo()) < 0.99999


def test_a_vector_that_is_not_finite_is_invalid(tmp_path):
    from safetensors.numpy import load_file, save_file

    folder = tiny_roberta.save(tmp_path / "model", RECIPE, None)
    weights = load_file(folder / "model.safetensors")
    weights["encoder.layer.2.output.LayerNorm.bias"][3] = math.inf
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    status, reason = one(CAT, "a dog", model=str(folder), shared=Memo())
    assert status == "invalid"
    assert "not finite" in reason


AWKWARD = [
    "x" * 100_000,
    "word " * 20_000,
    "".join(map(chr, range(0x2F00))),
    "😀" * 25_000,
    "\0\x1b[31m\r",
    "[SEP] [CLS]",
]
AWKWARD += [chr(0x10000 * plane + 0x42) + "b" + chr(0x10000 * plane + 0x6A5) for plane in range(17)]


def test_long_and_strange_texts_have_values_in_seconds():
    start = time.perf_counter()
    made = [(text, CAT) for text in AWKWARD] + [(CAT, text) for text in AWKWARD] + [(text, text) for text in AWKWARD]
    batch = Batch(
        tuple(Generation(Sample(str(i), prompt=p), "m", (Completion(t),)) for i, (t, p) in enumerate(made)),
        shared=SHARED,
    )
    for most, abstaining in ((1, 6), (0.5, 60)):
        scores = relevance(device="cpu", max_unknown=most)(batch)["relevance"]
        values = scores.values[scores.status == 0]
        assert ((values >= -1) & (values <= 1)).all()
        assert (scores.status == 0).sum() >= len(made) - abstaining
        assert {scores.status_of(i) for i in range(len(made))} <= {"ok", "abstain"}
    assert time.perf_counter() - start < 60  # 2 s when nothing else runs
