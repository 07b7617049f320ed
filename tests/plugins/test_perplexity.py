"""Perplexity against a loop that puts one text at a time through the model, by transformers' own loss."""

from __future__ import annotations

import json
import math
import pickle
import random
import shutil

import numpy as np
import pytest

from harness import Batch, Completion, Generation, HarnessError, Memo, Message, Sample
from harness_plugins import causal_lm
from harness_plugins.perplexity import perplexity

pytest.importorskip("transformers")

WORDS = [f"{a}{b}" for a in "bdfgk" for b in ("a", "e", "i", "oo")]
CHAT = (
    "{% for m in messages %}{{ '<bos> ' + m['content'] + ' ' }}{% endfor %}{% if add_generation_prompt %}ba {% endif %}"
)


def texts(seed, count, longest=20):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(1, longest))) for _ in range(count)]


def groups(seed, count=10, n=3):
    prompts, answers = texts(seed, count), texts(seed + 1, count * n)
    return [
        Generation(Sample(str(i), prompt=p), "m", tuple(map(Completion, answers[i * n : i * n + n])))
        for i, p in enumerate(prompts)
    ]


def one(prompt, completion, folder, shared=None, **options):
    batch = Batch((Generation(Sample("1", prompt=prompt), "m", (Completion(completion),)),), shared=shared or Memo())
    return perplexity(model=str(folder), device="cpu", **options)(batch)


def loop(folder, pairs, chat=False, condition="prompt"):
    """Mean log-likelihoods by the loss that the model itself gives for labels, one text at a time."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    found = []
    for prompt, text in pairs:
        if condition == "none":
            before = [model.config.bos_token_id]
        elif chat:
            turns = [{"role": "user", "content": prompt}]
            rendered = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            before = tokenizer(rendered, add_special_tokens=False)["input_ids"]
        else:
            before = tokenizer(prompt)["input_ids"]
        after = tokenizer(text, add_special_tokens=False)["input_ids"]
        labels = torch.tensor([[-100] * len(before) + after])
        with torch.no_grad():
            found.append(-float(model(input_ids=torch.tensor([before + after]), labels=labels).loss))
    return found


@pytest.fixture(scope="session")
def tiny_gpt2(tmp_path_factory):
    """Learned positions and a vocabulary of its own: padding that moved them would show."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from tests.plugins.conftest import VOCABULARY, save_tokenizer

    folder = tmp_path_factory.mktemp("tiny") / "gpt2"
    torch.manual_seed(3)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=64, initializer_range=0.5,
        bos_token_id=2, eos_token_id=1,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(str(folder))
    save_tokenizer(folder)
    return folder


@pytest.mark.parametrize("batch_tokens", [1, 64, 100_000])
@pytest.mark.parametrize("model", ["tiny_causal", "tiny_chat", "tiny_gpt2"])
def test_batches_equal_a_loop_of_one_text_at_a_time(model, batch_tokens, request):
    folder = request.getfixturevalue(model)
    some = groups(7)
    found = perplexity(model=str(folder), device="cpu", batch_tokens=batch_tokens)(Batch(tuple(some)))
    pairs = [(g.sample.prompt, c.text) for g in some for c in g.completions]
    expected = loop(folder, pairs, chat=model == "tiny_chat")
    assert np.ptp(expected) > 1  # the texts differ in likelihood, or equality would show nothing
    assert found["loglikelihood"].segment == pytest.approx(expected, abs=1e-4)
    assert found["perplexity"].segment == pytest.approx(np.exp(-np.array(expected)), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("chat", "condition"), [("auto", "prompt"), ("never", "prompt"), ("auto", "none")])
def test_the_packaged_model_equals_a_loop(chat, condition):
    from harness_plugins import smollm2

    try:
        folder = smollm2.folder()
    except HarnessError as error:
        pytest.skip(str(error))
    prompts = ["Tell me about cats.", "The capital of France is", "写一句话。"]
    answers = ["Cats are animals.", " Paris.", "猫坐在垫子上。", " a colourless green idea sleeps furiously, and so on"]
    pairs = [(p, a) for p in prompts for a in answers]
    some = [Generation(Sample(p, prompt=p), "m", tuple(map(Completion, answers))) for p in prompts]
    metric = perplexity(device="cpu", chat=chat, condition=condition)
    found = metric(Batch(tuple(some)))["loglikelihood"]
    assert found.segment == pytest.approx(loop(folder, pairs, chat == "auto", condition), abs=1e-4)


def test_batching_and_order_stay_within_the_tolerance(tiny_causal):
    some, shared = groups(3, count=12), Memo()
    metric = perplexity(model=str(tiny_causal), device="cpu")
    whole = metric(Batch(tuple(some), shared=shared))
    tolerance = {info.name: info.tolerance for info in metric.infos}
    assert tolerance["loglikelihood"] == 1e-4
    for size in (1, 5):
        parts = [metric(Batch(tuple(some[at : at + size]), shared=shared)) for at in range(0, len(some), size)]
        for name, scores in whole.items():
            values = np.concatenate([part[name].values for part in parts])
            assert np.abs(np.log(values / scores.values)).max() < 1e-4
    turned = metric(Batch(tuple(reversed(some)), shared=shared))["loglikelihood"].values.reshape(-1, 3)[::-1].ravel()
    assert np.abs(turned - whole["loglikelihood"].values).max() < tolerance["loglikelihood"]


def test_the_corpus_counts_every_token_alike(tiny_causal):
    some = (*groups(5, count=4), Generation(Sample("e", prompt="ba"), "m", (Completion(""),)))
    metric = perplexity(model=str(tiny_causal), device="cpu")
    found = metric(Batch(some))
    pairs = [(g.sample.prompt, c.text) for g in some[:-1] for c in g.completions]
    lengths = [len(text.split()) for _, text in pairs]
    total = sum(mean * k for mean, k in zip(loop(tiny_causal, pairs), lengths, strict=True))
    for name, expected in (("loglikelihood", total / sum(lengths)), ("perplexity", math.exp(-total / sum(lengths)))):
        rows = found[name].statistics
        assert np.isnan(rows[-1]).all()
        assert rows[:-1, 1].tolist() == lengths
        both = metric.corpus_from(name, np.vstack([rows[:-1].sum(axis=0), rows[0]]))
        assert both.tolist() == pytest.approx([expected, found[name].values[0]], rel=1e-4)
        assert both[0] != pytest.approx(np.nanmean(found[name].values), rel=1e-3)


def test_tokens_of_prompt_and_completion_do_not_merge_and_the_end_does_not_count(tiny_causal):
    found = one("ba be", "bi", tiny_causal)
    assert found["perplexity"].statistics[0, 1] == 1
    assert one("ba", "be bi", tiny_causal)["perplexity"].statistics[0, 1] == 2


def test_a_special_token_spelt_out_is_text():
    """A word-level tokenizer has no parts to fall into, so this one is of bytes."""
    tokenizers = pytest.importorskip("tokenizers")
    from transformers import PreTrainedTokenizerFast

    raw = tokenizers.Tokenizer(tokenizers.models.BPE({c: i for i, c in enumerate("<eos>ab")}, []))
    fast = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>")
    assert len(fast("a<eos>b", split_special_tokens=True)["input_ids"]) == 7
    assert len(fast("a<eos>b")["input_ids"]) == 3


def test_without_a_prompt_the_text_stands_by_itself(tiny_causal):
    found = one("ba be bi", "be bi boo", tiny_causal, condition="none")["loglikelihood"]
    assert found.segment == pytest.approx(loop(tiny_causal, [("", "be bi boo")], condition="none"), abs=1e-4)
    assert found.info.needs == frozenset()
    assert "condition:none" in found.signature
    assert "chat" not in found.signature
    assert one(None, "be bi boo", tiny_causal, condition="none")["loglikelihood"].segment == found.segment


def test_a_chat_goes_through_the_template_and_a_text_by_option(tiny_chat):
    turns = (Message("user", "ba be"),)
    wrapped = one("ba be", "bi", tiny_chat)["loglikelihood"].segment
    assert one(turns, "bi", tiny_chat)["loglikelihood"].segment == wrapped
    assert one("ba be", "bi", tiny_chat, chat="always")["loglikelihood"].segment == wrapped
    plain = one("ba be", "bi", tiny_chat, chat="never")["loglikelihood"]
    assert plain.segment == pytest.approx(loop(tiny_chat, [("ba be", "bi")]), abs=1e-4)
    assert plain.segment != pytest.approx(wrapped, abs=1e-3)
    refused = one(turns, "bi", tiny_chat, chat="never")["loglikelihood"]
    assert refused.status_of(0) == "abstain"
    assert "chat is 'never'" in refused.reasons[0]


@pytest.mark.parametrize(
    ("prompt", "completion", "reason"),
    [
        ("ba", "", "empty"),
        ("ba", " \n", "empty"),
        ("ba " * 60, "be " * 5, "60 tokens and the completion's 5 exceed the model's context of 64"),
        ("ba", "be " * 25_000, "exceed the model's context of 64"),
        ("ba " * 25_000, "be", "exceed the model's context of 64"),
    ],
)
def test_what_has_no_likelihood_abstains_with_the_reason(prompt, completion, reason, tiny_causal):
    for scores in one(prompt, completion, tiny_causal).values():
        assert scores.segment == [None]
        assert scores.status_of(0) == "abstain"
        assert reason in scores.reasons[0]


def test_a_text_that_fills_the_context_has_a_value(tiny_causal):
    assert one("ba " * 60, "be " * 4, tiny_causal)["perplexity"].status_of(0) == "ok"


def test_a_text_longer_than_one_step_of_logits_gives_the_same(tiny_causal, monkeypatch):
    from harness_plugins import causal_runtime

    whole = one("ba be", "be bi " * 20, tiny_causal)["loglikelihood"].segment
    monkeypatch.setattr(causal_runtime, "_LOGITS", 700)  # 7 positions of 100 words
    assert one("ba be", "be bi " * 20, tiny_causal)["loglikelihood"].segment == pytest.approx(whole, abs=1e-5)


def test_memory_that_does_not_suffice_halves_the_batch(tiny_causal, monkeypatch):
    from harness_plugins.causal_runtime import Scorer

    some, forward = tuple(groups(7)), Scorer._forward
    whole = perplexity(model=str(tiny_causal), device="cpu")(Batch(some))["loglikelihood"].segment

    def small(self, rows, most=2):
        if len(rows) > most:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return forward(self, rows)

    monkeypatch.setattr(Scorer, "_forward", small)
    halved = perplexity(model=str(tiny_causal), device="cpu")(Batch(some))["loglikelihood"].segment
    assert halved == pytest.approx(whole, abs=1e-4)
    monkeypatch.setattr(Scorer, "_forward", lambda self, rows: small(self, rows, most=0))
    failed = one("ba", "be", tiny_causal)["perplexity"]
    assert (failed.status_of(0), "out of memory" in failed.reasons[0]) == ("error", True)


def test_a_likelihood_without_a_finite_value_is_invalid():
    for number, words in ((-math.inf, "no probability"), (math.nan, "not finite")):
        found = causal_lm._likelihood(number, 3)
        assert found.status == "invalid"
        assert words in found.reason
    assert causal_lm._likelihood(1e-9, 1) == causal_lm.Likelihood(0.0, 1)


def test_the_signature_names_the_weights(tiny_causal, make_causal, tmp_path):
    signature = one("ba", "be", tiny_causal)["perplexity"].signature
    assert signature.startswith("perplexity|model:sha256:")
    assert signature.endswith("|dtype:float32|condition:prompt|chat:auto")
    other = make_causal(tmp_path / "other", seed=9)
    assert one("ba", "be", other)["perplexity"].signature != signature
    empty = perplexity(model=str(tiny_causal), device="cpu")(Batch(()))
    assert empty["perplexity"].signature == signature  # of nothing scored too
    assert empty["perplexity"].statistics.shape == (0, 2)


def test_the_model_is_loaded_once_for_all_that_share(tiny_causal, monkeypatch):
    from harness_plugins import hf_runtime

    loads, load = [], hf_runtime.load
    monkeypatch.setattr(hf_runtime, "load", lambda *given: loads.append(given) or load(*given))
    shared = Memo()
    for options in ({}, {}, {"condition": "none"}, {"batch_tokens": 5}):
        one("ba", "be", tiny_causal, shared, **options)
    assert len(loads) == 1


def test_a_model_that_cannot_be_loaded_is_tried_once(tiny_causal, monkeypatch):
    from harness_plugins import hf_runtime

    loads = []

    def fails(*given):
        loads.append(given)
        raise HarnessError("no weights")

    monkeypatch.setattr(hf_runtime, "load", fails)
    shared = Memo()
    for _ in range(3):
        with pytest.raises(HarnessError, match="no weights"):
            one("ba", "be", tiny_causal, shared)
    assert len(loads) == 1


def test_equal_texts_are_computed_once(tiny_causal, monkeypatch):
    from harness_plugins.causal_runtime import Scorer

    rows, forward = [], Scorer._forward
    monkeypatch.setattr(Scorer, "_forward", lambda self, some: rows.extend(some) or forward(self, some))
    same = Generation(Sample("1", prompt="ba"), "m", (Completion("be"), Completion("be"), Completion("bi")))
    batch = Batch((same,))
    metric = perplexity(model=str(tiny_causal), device="cpu")
    for wanted in ("perplexity", "loglikelihood"):
        metric(Batch((same,), frozenset([wanted]), batch.memo, batch.whole, batch.shared))
    assert len(rows) == 2


def test_a_sequence_to_sequence_model_is_refused(tiny_seq2seq):
    with pytest.raises(HarnessError, match="causal language model"):
        one("ba", "be", tiny_seq2seq)


def save_other(folder, kind, config, *, named=True):
    """A model of another kind, with a tokenizer; `named`: whether its configuration says of which."""
    import transformers

    from tests.plugins.conftest import VOCABULARY, save_tokenizer

    config = getattr(transformers, config)(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        num_labels=3, initializer_range=0.5, bos_token_id=2, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    getattr(transformers, kind)(config).save_pretrained(str(folder))
    if not named:
        content = json.loads((folder / "config.json").read_text())
        del content["architectures"]
        (folder / "config.json").write_text(json.dumps(content))
    save_tokenizer(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "config", "named", "message"),
    [
        ("BertForMaskedLM", "BertConfig", True, "encoder"),
        ("BertForMaskedLM", "BertConfig", False, "sees the tokens that follow"),
        ("BertForPreTraining", "BertConfig", True, "sees the tokens that follow"),
        ("BertModel", "BertConfig", True, "would stay random"),
        ("GPT2ForSequenceClassification", "GPT2Config", True, "is a classifier"),
    ],
)
def test_models_that_are_no_causal_language_models_are_refused(kind, config, named, message, tmp_path):
    folder = save_other(tmp_path / "other", kind, config, named=named)
    with pytest.raises(HarnessError, match=message):
        one("ba", "be", folder)


def test_a_folder_without_its_tokenizer_is_refused(tiny_gpt2, tmp_path):
    """transformers makes one up that knows no word, and every text would have a number."""
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_gpt2 / name, tmp_path / name)
    with pytest.raises(HarnessError, match="tokenizer"):
        one("ba", "be", tmp_path)


def test_a_long_text_is_not_put_with_short_ones():
    from harness_plugins.causal_runtime import Row, _packed

    def lengths(*given):
        return [sorted(given[i] for i in part) for part in _packed([Row((0,) * n, 1) for n in given], 4096, 10**6)]

    assert lengths(10, 600, 12, 9) == [[9, 10, 12], [600]]
    assert lengths(100, 110, 120) == [[100, 110, 120]]
    assert lengths(4000, 4000, 5000) == [[4000], [4000], [5000]]


@pytest.fixture
def bos_first(make_causal, tmp_path):
    """A tokenizer that begins every text with <bos>."""
    from tokenizers import processors
    from transformers import AutoTokenizer

    folder = make_causal(tmp_path / "bos")
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 2)]
    )
    tokenizer.save_pretrained(str(folder))
    assert AutoTokenizer.from_pretrained(str(folder))("ba")["input_ids"][0] == 2
    return folder


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_tokenizer_that_begins_texts_does_so_once_and_its_padding_side_changes_nothing(side, bos_first):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(bos_first), padding_side=side)
    tokenizer.save_pretrained(str(bos_first))
    some = [
        *groups(11, count=4),
        *groups(12, count=4, n=1),
        Generation(Sample("e", prompt=""), "m", (Completion("ba"),)),
    ]
    pairs = [(g.sample.prompt, c.text) for g in some for c in g.completions]
    found = perplexity(model=str(bos_first), device="cpu")(Batch(tuple(some)))["loglikelihood"]
    assert found.segment == pytest.approx(loop(bos_first, pairs), abs=1e-4)


def test_a_reward_is_called_from_many_threads_after_a_pickle(tiny_chat, monkeypatch, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    from harness import CompositeReward, load_suite
    from harness_plugins import hf_runtime

    path = tmp_path / "suite.yaml"
    options = f"model: '{tiny_chat}', device: cpu"
    path.write_text(
        f"name: s\nmetrics:\n  - perplexity: {{{options}}}\n  - perplexity: {{{options}, condition: none}}\n    as: alone\n"
        f"  - bias: {{{options}, pairs: [[ba, be], [bi, boo]]}}\nreward:\n  combine: weighted_sum\n  terms:\n"
        "    - {score: perplexity, weight: 0.4, range: [1, 1000000]}\n"
        "    - {score: alone, weight: 0.4, range: [1, 1000000]}\n"
        "    - {score: bias_perplexity, weight: 0.2, range: [0, 20], required: false}\n",
        encoding="utf-8",
    )
    loads, load = [], hf_runtime.load
    monkeypatch.setattr(hf_runtime, "load", lambda *given: loads.append(given) or load(*given))
    reward = CompositeReward.from_suite(load_suite(str(path)))
    copy = pickle.loads(pickle.dumps(reward))
    jobs = [groups(seed, count=3) for seed in range(12)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(reward, jobs))
    assert len(loads) == 1
    alone = [copy(job) for job in jobs]
    totals = [[r.total for r in rewards] for rewards in alone]
    assert all(total is not None for row in totals for total in row)
    assert len({total for row in totals for total in row}) > 100
    for one_way, other in zip(together, alone, strict=True):
        assert [r.total for r in one_way] == pytest.approx([r.total for r in other], abs=1e-4)


def test_all_scorers_of_a_tokenizer_share_a_lock(tiny_chat):
    """Whether special tokens are split is a setting of the tokenizer, which one thread would change under another."""
    batch = Batch((), shared=Memo())
    metrics = [perplexity(model=str(tiny_chat), device="cpu", condition=c) for c in ("prompt", "none")]
    one_scorer, other = (metric._lm._scorer(batch) for metric in metrics)
    assert one_scorer is not other
    assert one_scorer._lock is other._lock


def test_ranges_and_directions(tiny_causal):
    of = {info.name: info for info in perplexity(model=str(tiny_causal)).infos}
    assert [(i.low, i.high, i.higher_is_better) for i in of.values()] == [(1, math.inf, False), (-math.inf, 0, True)]
    assert {i.corpus for i in of.values()} == {"statistics"}
    assert {i.needs for i in of.values()} == {frozenset({"prompt"})}
    assert perplexity(model=str(tiny_causal), dtype="bfloat16").infos[1].tolerance > 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "model: empty"),
        ({"model": "/no/such/folder"}, "no folder '/no/such/folder'"),
        ({"condition": "both"}, "condition: 'both'.*prompt, none"),
        ({"dtype": "auto"}, "dtype: 'auto'.*float32"),
        ({"chat": "perhaps"}, "chat: 'perhaps'.*auto, always, never"),
        ({"device": "gpu!"}, "device 'gpu!'"),
        ({"batch_tokens": 0}, "batch_tokens: 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        perplexity(**options)
