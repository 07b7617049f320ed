"""The transformers adapter, on tiny random models: what it draws is compared with loops of its own and bare generate."""

from __future__ import annotations

import functools
import json
import random
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness import Completion, HarnessError, Message, PluginError, Request, Sample, Settings, UsageError
from harness_plugins import hf as plugin
from harness_plugins.hf import HfModel, hf

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

WORDS = ("ba", "de", "fi", "go", "ku", "lai", "moo", "ny", "pa", "re", "si", "to")
SAMPLING = Settings(n=3, temperature=0.9, max_new_tokens=14)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost tiny models more than they bring, many times more where others use the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model(folder: Path, **options: Any) -> HfModel:
    return hf(str(folder), device="cpu", **options)


def prompts(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(1, 20))) for _ in range(count)]


def requests(texts: Sequence[Any], n: int = 1) -> list[Request]:
    return [
        Request(Sample(str(i), text), tuple(hash((i, k)) % 2**62 for k in range(n))) for i, text in enumerate(texts)
    ]


def run(
    model: HfModel, asked: Sequence[Request], settings: Settings, batch: int = 0
) -> dict[str, tuple[Completion, ...]]:
    """Completions by sample id, asked for `batch` requests at a time (0: all at once)."""
    found: dict[str, tuple[Completion, ...]] = {}
    size = batch or max(len(asked), 1)
    for start in range(0, len(asked), size):
        part = asked[start : start + size]
        for index, completions in model.generate(part, settings):
            assert part[index].sample.id not in found
            found[part[index].sample.id] = completions
    assert set(found) == {request.sample.id for request in asked}
    return found


def only(model: HfModel, prompt: Any, settings: Settings) -> Completion:
    ((completion,),) = run(model, requests([prompt]), settings).values()
    return completion


def logits(folder: Path, ids: Sequence[int]) -> Any:
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32)
    with torch.no_grad():
        return loaded(torch.tensor([list(ids)])).logits[0, -1]


def encoded(folder: Path, text: str) -> list[int]:
    from transformers import AutoTokenizer

    return list(AutoTokenizer.from_pretrained(str(folder))(text)["input_ids"])


# --- equal texts under any batching -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        SAMPLING,
        Settings(n=2, temperature=1.3, top_p=0.8, top_k=20, repetition_penalty=1.3, max_new_tokens=14),
        Settings(n=2, temperature=0.0, max_new_tokens=14, repetition_penalty=1.2),
        Settings(n=3, num_beams=4, max_new_tokens=10),
        Settings(n=2, temperature=1.0, stop=("ba", "ku lai"), max_new_tokens=14),
    ],
    ids=["sampling", "warped", "greedy", "beams", "stops"],
)
@pytest.mark.parametrize("family", ["tiny_causal", "tiny_seq2seq"])
def test_texts_do_not_depend_on_the_batch(family: str, settings: Settings, request: pytest.FixtureRequest) -> None:
    adapter = model(request.getfixturevalue(family))
    asked = requests(prompts(11), settings.n)
    whole = run(adapter, asked, settings)
    shuffled = random.Random(5).sample(asked, len(asked))
    for other in (
        run(adapter, asked, settings, batch=1),
        run(adapter, asked, settings, batch=3),
        run(adapter, shuffled, settings, batch=4),
    ):
        assert other == whole
    assert all(c.status == "ok" for group in whole.values() for c in group)
    assert len({c.text for group in whole.values() for c in group}) > 3


def test_seeds_alone_tell_completions_apart(tiny_causal: Path) -> None:
    adapter = model(tiny_causal)
    same = [Request(Sample("a", "ba de"), (5, 6, 5)), Request(Sample("b", "ba de"), (6, 5, 7))]
    found = run(adapter, same, SAMPLING)
    (a5, a6, again), (b6, b5, b7) = found["a"], found["b"]
    assert a5 == again == b5
    assert a6 == b6
    assert len({a5.text, a6.text, b7.text}) == 3


# --- what is drawn ------------------------------------------------------------------------------------------


def test_greedy_is_the_argmax_of_a_plain_loop(tiny_causal: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(tiny_causal))
    for text in prompts(3, seed=3):
        ids = encoded(tiny_causal, text)
        new: list[int] = []
        while len(new) < 8 and 1 not in new:
            new.append(int(logits(tiny_causal, [*ids, *new]).argmax()))
        got = only(model(tiny_causal), text, Settings(max_new_tokens=8))
        assert got.text == tokenizer.decode(new, skip_special_tokens=True)
        assert got.tokens == len(new)
        assert got.finish_reason == ("stop" if new[-1] == 1 else "length")


@pytest.mark.parametrize(("temperature", "top_k", "top_p"), [(1.0, 0, 1.0), (2.5, 0, 1.0), (1.5, 4, 1.0), (2, 0, 0.7)])
def test_sampling_follows_the_softmax(tiny_causal: Path, temperature: float, top_k: int, top_p: float) -> None:
    """Counts of 4,000 first tokens against the warped softmax, worked out here: chi-square at p = 0.0001."""
    scipy_free_critical = {1: 15.1, 2: 18.4, 3: 21.1, 4: 23.5, 5: 25.7, 6: 27.9, 8: 31.8, 10: 35.6, 15: 44.3, 20: 52.4}
    draws = 4000
    settings = Settings(n=draws, temperature=temperature, top_k=top_k, top_p=top_p, max_new_tokens=1)
    asked = [Request(Sample("s", "ba de fi"), tuple(range(draws)))]
    (completions,) = run(model(tiny_causal), asked, settings).values()

    weights = torch.softmax(logits(tiny_causal, encoded(tiny_causal, "ba de fi")).double() / temperature, -1)
    ranked = sorted(enumerate(weights.tolist()), key=lambda pair: -pair[1])
    if top_k:
        ranked = ranked[:top_k]
    if top_p < 1:
        kept, mass = [], 0.0
        for pair in ranked:
            if mass >= top_p:
                break
            kept.append(pair)
            mass += pair[1]
        ranked = kept
    total = sum(weight for _, weight in ranked)
    vocabulary = json.loads((tiny_causal / "tokenizer.json").read_text())["model"]["vocab"]
    texts = {index: word for word, index in vocabulary.items()}
    names = {index: "" if index < 4 else texts[index] for index, _ in ranked}
    expected: dict[str, float] = {}
    for index, weight in ranked:
        expected[names[index]] = expected.get(names[index], 0.0) + draws * weight / total
    counts = {name: sum(c.text == name for c in completions) for name in expected}
    assert sum(counts.values()) == draws, "a token outside top-k or top-p was drawn"

    cells = [(counts[n], e) for n, e in expected.items() if e >= 5]
    rest = [(counts[n], e) for n, e in expected.items() if e < 5]
    if sum(e for _, e in rest) >= 5:
        cells.append((sum(c for c, _ in rest), sum(e for _, e in rest)))
    statistic = sum((count - wanted) ** 2 / wanted for count, wanted in cells)
    freedom = len(cells) - 1
    assert freedom >= 2
    bound = next((v for k, v in scipy_free_critical.items() if k >= freedom), None)
    # Wilson and Hilferty's approximation where the table ends.
    bound = bound or freedom * (1 - 2 / (9 * freedom) + 3.72 * (2 / (9 * freedom)) ** 0.5) ** 3
    assert statistic < bound


def test_noise_is_finite_and_of_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness_plugins.hf_sampling import GumbelNoise

    device = torch.device("cpu")
    zeros = torch.zeros(2, 50_000)
    pair = GumbelNoise([3, 4], device)(None, zeros.clone())
    alone = GumbelNoise([4], device)(None, zeros[:1].clone())
    assert torch.isfinite(pair).all()
    assert torch.equal(pair[1], alone[0])
    assert not torch.equal(pair[0], pair[1])
    # Gumbel(0, 1): mean is Euler's constant, variance pi^2 / 6.
    assert abs(pair.mean().item() - 0.5772) < 0.02
    assert abs(pair.var().item() - 1.6449) < 0.03


def test_a_uniform_of_zero_gives_no_infinite_score(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness_plugins.hf_sampling import GumbelNoise

    monkeypatch.setattr(torch.Tensor, "uniform_", lambda self, generator: self.zero_())
    noisy = GumbelNoise([1], torch.device("cpu"))(None, torch.tensor([[0.0, float("-inf")]]))
    assert torch.isfinite(noisy[0, 0])
    assert noisy[0, 1] == float("-inf")


def test_beams_are_those_of_bare_generate(tiny_causal: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    loaded = AutoModelForCausalLM.from_pretrained(str(tiny_causal), dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(str(tiny_causal))
    settings = Settings(n=2, num_beams=3, max_new_tokens=9, temperature=0.7)
    for text in prompts(3, seed=8):
        inputs = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        beams = loaded.generate(**inputs, num_beams=3, num_return_sequences=3, do_sample=False, max_new_tokens=9)
        expected = tokenizer.batch_decode(beams[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        (got,) = run(model(tiny_causal), requests([text], 2), settings).values()
        assert [c.text for c in got] == expected[:2]


def test_more_texts_than_beams_is_an_error(tiny_causal: Path) -> None:
    with pytest.raises(UsageError, match="num_beams 2"):
        run(model(tiny_causal), requests(["ba"], 3), Settings(n=3, num_beams=2))


def test_what_the_repository_suggests_is_not_followed(tiny_chat: Path, tiny_seq2seq: Path) -> None:
    """Its generation_config says temperature 0.01, top_k 1, penalty 9: with those, all draws would be one text."""
    suggested = json.loads((tiny_chat / "generation_config.json").read_text())
    assert (suggested["top_k"], suggested["repetition_penalty"]) == (1, 9.0)
    texts = [
        c.text
        for c in run(model(tiny_chat), requests(["ba de"], 12), Settings(n=12, temperature=1.0, max_new_tokens=6))["0"]
    ]
    assert len(set(texts)) > 6
    # BART's suggestion forces an end token as the last one, which would pass a cut text off as a finished one.
    cut = only(model(tiny_seq2seq), "ba de fi", Settings(max_new_tokens=2))
    assert (cut.finish_reason, cut.tokens) in (("length", 2), ("stop", 1), ("stop", 2))
    ends = [only(model(tiny_seq2seq), text, Settings(max_new_tokens=2)).finish_reason for text in prompts(6, seed=2)]
    assert "length" in ends


# --- where a text ends --------------------------------------------------------------------------------------


def test_finish_reasons_and_token_counts(tiny_causal: Path) -> None:
    """A token is a word, so counts can be read off the text: its words, and the end token where it stopped."""
    completions = [
        c
        for group in run(
            model(tiny_causal), requests(prompts(8), 4), Settings(n=4, temperature=1.5, max_new_tokens=40)
        ).values()
        for c in group
    ]
    assert {c.finish_reason for c in completions} == {"stop", "length"}
    for c in completions:
        shown = len((c.text or "").split())
        assert c.tokens is not None
        if c.finish_reason == "length":
            assert c.tokens == 40
            assert shown <= 40
        else:
            assert shown + 1 <= c.tokens <= 40


def test_stop_texts_are_cut_off(tiny_causal: Path) -> None:
    adapter = model(tiny_causal)
    free = only(adapter, "ba de", Settings(temperature=0.8, max_new_tokens=20))
    words = (free.text or "").split()
    stop = f"{words[4]} {words[5]}"
    at = (free.text or "").index(stop)
    got = only(adapter, "ba de", Settings(temperature=0.8, max_new_tokens=20, stop=("never", stop)))
    assert got.text == (free.text or "")[:at]
    assert got.finish_reason == "stop"
    assert got.tokens == len((free.text or "")[: at + len(stop)].split())
    assert len(words) > 6


def test_a_model_without_an_end_token_stops_each_row_for_itself(tiny_causal: Path) -> None:
    """Nothing then fills up rows that are done: they go on beside the others, and what follows is not theirs."""
    adapter = model(tiny_causal)
    adapter.runtime().without_end_tokens()
    settings = Settings(n=4, temperature=1.0, max_new_tokens=16, stop=("a", "o"))
    asked = requests(prompts(5), 4)
    together = run(adapter, asked, settings)
    assert together == run(adapter, asked, settings, batch=1)
    alone = [Request(request.sample, request.seeds[:1]) for request in asked]
    assert [c for (c,) in run(adapter, alone, settings, batch=1).values()] == [g[0] for g in together.values()]
    counts = {c.tokens for group in together.values() for c in group if c.finish_reason == "stop"}
    assert len(counts) > 1


def test_a_stop_text_in_the_prompt_ends_nothing(tiny_causal: Path) -> None:
    adapter = model(tiny_causal)
    settings = Settings(temperature=0.8, max_new_tokens=12)
    free = only(adapter, "moo ny", settings)
    first = (free.text or "").split()[0]
    assert only(adapter, "moo ny", Settings(temperature=0.8, max_new_tokens=12, stop=(f"ny {first}",))) == free


def test_a_stop_text_that_is_a_special_token_ends_the_text(tiny_causal: Path) -> None:
    settings = Settings(n=60, temperature=2.0, max_new_tokens=30)
    texts = run(model(tiny_causal), requests(["ba"], 60), settings)["0"]
    stopped = run(
        model(tiny_causal), requests(["ba"], 60), Settings(n=60, temperature=2.0, max_new_tokens=30, stop=("<bos>",))
    )["0"]
    shorter = [(a, b) for a, b in zip(texts, stopped, strict=True) if a != b]
    assert shorter
    assert all(b.finish_reason == "stop" and (b.tokens or 0) < (a.tokens or 0) for a, b in shorter)
    assert all((a.text or "").startswith(b.text or "") for a, b in shorter)


# --- prompts ------------------------------------------------------------------------------------------------


def test_chat_modes(tiny_chat: Path, tiny_causal: Path) -> None:
    settings = Settings(max_new_tokens=6)
    wrapped = only(model(tiny_chat), "ba de", settings)
    assert wrapped == only(model(tiny_chat), (Message("user", "ba de"),), settings)
    assert wrapped == only(model(tiny_chat, chat="always"), "ba de", settings)
    # The template by hand: `<bos> ua ba de <bos> ba`, whose unknown `ua` is one token.
    assert wrapped == only(model(tiny_chat, chat="never"), "<bos> ua ba de <bos> ba", settings)
    assert wrapped != only(model(tiny_chat, chat="never"), "ba de", settings)
    refused = only(model(tiny_chat, chat="never"), (Message("user", "ba"),), settings)
    assert (refused.text, refused.status) == (None, "error")
    assert "never" in (refused.reason or "")
    assert "no chat template" in (only(model(tiny_causal), (Message("user", "ba"),), settings).reason or "")
    with pytest.raises(UsageError, match="no chat template"):
        only(model(tiny_causal, chat="always"), "ba", settings)


def test_a_template_that_refuses_is_a_reason(tmp_path: Path, make_causal: Any) -> None:
    folder = make_causal(tmp_path / "m", chat_template="{{ raise_exception('roles must alternate') }}")
    got = only(model(folder), "ba", Settings(max_new_tokens=2))
    assert got.status == "error"
    assert "roles must alternate" in (got.reason or "")


def test_prompts_that_cannot_be_answered_do_not_hurt_others(tiny_causal: Path) -> None:
    long = " ".join(["ba"] * 60)
    asked = requests(["ba de", None, long, "fi", "", "lone \ud800"], 2)
    found = run(model(tiny_causal), asked, Settings(n=2, temperature=1.0, max_new_tokens=8))
    assert [found[str(i)][0].status for i in range(6)] == ["ok", "error", "error", "ok", "ok", "ok"]
    assert found["1"][0].reason == "the sample has no prompt"
    assert (
        found["2"]
        == (Completion(None, "error", "prompt of 60 tokens and max_new_tokens 8 exceed the model's context of 64"),) * 2
    )
    assert model(tiny_causal).prompt_tokens(asked) == [2, 0, 60, 1, 1, 2]
    assert found["0"] == run(model(tiny_causal), asked[:1], Settings(n=2, temperature=1.0, max_new_tokens=8))["0"]


def test_the_context_is_used_to_its_last_token(tiny_causal: Path) -> None:
    for words, status in ((56, "ok"), (57, "error")):
        got = only(model(tiny_causal), " ".join(["ba"] * words), Settings(max_new_tokens=8))
        assert got.status == status


def test_an_encoder_has_a_context_of_its_own(tiny_seq2seq: Path) -> None:
    for words, status in ((48, "ok"), (49, "error")):
        got = only(model(tiny_seq2seq), " ".join(["ba"] * words), Settings(max_new_tokens=8))
        assert got.status == status
    assert only(model(tiny_seq2seq), "ba", Settings(max_new_tokens=49)).status == "error"


# --- memory -------------------------------------------------------------------------------------------------


def starve(adapter: HfModel, rows: int, error: Exception) -> list[int]:
    """Lets the model run out of memory above so many rows. Returns the sizes it was asked for at first tokens."""
    inner = adapter.runtime().model
    seen: list[int] = []
    forward = inner.forward

    @functools.wraps(forward)
    def limited(*args: Any, **kwargs: Any) -> Any:
        size = kwargs["input_ids"].shape[0]
        seen.append(size)
        if size > rows:
            raise error
        return forward(*args, **kwargs)

    inner.forward = limited
    return seen


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_out_of_memory_halves_the_batch_and_changes_no_text(tiny_causal: Path, error: Exception) -> None:
    asked = requests(prompts(7), 3)
    whole = run(model(tiny_causal), asked, SAMPLING)
    starved = model(tiny_causal)
    seen = starve(starved, 4, error)
    with pytest.warns(UserWarning, match="out of memory") as said:
        assert run(starved, asked, SAMPLING) == whole
    assert [str(w.message).split(": ", 1)[1] for w in said] == [
        "out of memory with 21 rows; going on with 11",
        "out of memory with 11 rows; going on with 6",
        "out of memory with 6 rows; going on with 3",
    ]
    failed = len([size for size in seen if size > 4])
    assert failed == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(starved, asked, SAMPLING) == whole, "what fits is remembered"


def test_out_of_memory_with_one_row_is_that_rows_error(tiny_causal: Path) -> None:
    starved = model(tiny_causal)
    starve(starved, 0, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.warns(UserWarning, match="out of memory") as said:
        found = run(starved, requests(["ba de", "fi"], 2), Settings(n=2, temperature=1.0, max_new_tokens=4))
    assert "going on with 1" in str(said[-1].message)
    reasons = {c.reason for group in found.values() for c in group}
    assert reasons == {
        "out of memory with a single prompt of 2 tokens",
        "out of memory with a single prompt of 1 tokens",
    }
    assert all(len(group) == 2 for group in found.values())


def test_other_errors_are_not_taken_for_a_lack_of_memory(tiny_causal: Path) -> None:
    broken = model(tiny_causal)
    starve(broken, 0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(broken, requests(["ba"]), Settings(max_new_tokens=4))


# --- identity -----------------------------------------------------------------------------------------------


def test_fingerprint_follows_what_decides_texts(tiny_causal: Path, tmp_path: Path, make_causal: Any) -> None:
    original = model(tiny_causal).fingerprint
    copy = tmp_path / "copy"
    shutil.copytree(tiny_causal, copy)
    assert model(copy).fingerprint == original, "where the folder lies does not matter"
    (copy / "README.md").write_text("changed")
    config = json.loads((copy / "config.json").read_text())
    config["transformers_version"] = "9.9"
    (copy / "config.json").write_text(json.dumps(config, indent=1))
    assert model(copy).fingerprint == original
    others = {
        model(tiny_causal, dtype="bfloat16").fingerprint,
        model(tiny_causal, chat="never").fingerprint,
        model(make_causal(tmp_path / "other", seed=9)).fingerprint,
    }
    (copy / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    others.add(model(copy).fingerprint)
    config["rms_norm_eps"] = 0.5
    (copy / "config.json").write_text(json.dumps(config))
    others.add(model(copy).fingerprint)
    assert len(others | {original}) == 6
    assert "float32|cpu" in original


def test_name_is_the_spec() -> None:
    assert hf("smollm2-135m").name == "hf:smollm2-135m"
    assert hf("Qwen/Qwen3-0.6B", revision="main").name == "hf:Qwen/Qwen3-0.6B"


# --- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "options", "message"),
    [
        ("", {}, "needs a model"),
        ("/no/such/folder", {}, "no folder"),
        ("./no-such", {}, "no folder"),
        ("~/no-such", {}, "no folder"),
        ("a/b/c", {}, "no folder"),
        (".", {}, "config.json"),
        ("gpt2", {"device": "cuda:x"}, "device"),
        ("gpt2", {"device": "cuda; rm"}, "device"),
        ("gpt2", {"dtype": "float8"}, "float32"),
        ("gpt2", {"chat": "yes"}, "always"),
    ],
)
def test_bad_options_are_refused_at_once(
    rest: str, options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        hf(rest, **options)


def test_remote_code_cannot_be_switched_on(tiny_causal: Path, tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        hf(str(tiny_causal), trust_remote_code=True)  # type: ignore[call-arg]
    folder, canary = tmp_path / "remote", tmp_path / "ran"
    shutil.copytree(tiny_causal, folder)
    (folder / "modeling_x.py").write_text(f"open({str(canary)!r}, 'w')\nclass X: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "x", "auto_map": {"AutoConfig": "modeling_x.X", "AutoModelForCausalLM": "modeling_x.X"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(HarnessError, match="cannot load the model"):
        only(model(folder), "ba", Settings())
    assert not canary.exists()


def test_only_safetensors_are_loaded(tiny_causal: Path, tmp_path: Path) -> None:
    """Good weights in the other format, which transformers would load if it were let."""
    from safetensors.torch import load_file

    folder = tmp_path / "bin"
    shutil.copytree(tiny_causal, folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(HarnessError, match="cannot load the model"):
        only(model(folder), "ba", Settings(max_new_tokens=2))


def test_pickled_weights_are_not_loaded(tiny_causal: Path, tmp_path: Path) -> None:
    folder, canary = tmp_path / "pickled", tmp_path / "ran"
    shutil.copytree(tiny_causal, folder)
    (folder / "model.safetensors").unlink()

    class Planted:
        def __reduce__(self) -> Any:
            return (open, (str(canary), "w"))

    torch.save({"x": Planted()}, folder / "pytorch_model.bin")
    with pytest.raises(HarnessError, match="safetensors"):
        only(model(folder), "ba", Settings())
    assert not canary.exists()


@pytest.mark.parametrize("damage", ["cut", "not json", "no tokenizer", "no weight", "headless"])
def test_damaged_folders_are_one_message(tiny_causal: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_causal, folder)
    weights = folder / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "not json":
        (folder / "config.json").write_text("{")
    elif damage == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    else:
        from safetensors.torch import load_file, save_file

        tensors = load_file(weights)
        del tensors["lm_head.weight" if damage == "headless" else "model.layers.1.mlp.up_proj.weight"]
        save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(HarnessError) as raised:
        only(model(folder), "ba", Settings())
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert type(raised.value) is HarnessError


def test_an_unreachable_hub_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoConfig

    def unreachable(*args: Any, **kwargs: Any) -> Any:
        raise OSError("We couldn't connect to 'https://huggingface.co' to load\nthe files.")

    monkeypatch.setattr(AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(
        HarnessError, match=r"couldn't connect to 'https://huggingface\.co' to load the files"
    ) as raised:
        only(hf("someone/some-model", device="cpu"), "ba", Settings())
    assert "someone/some-model" in str(raised.value)


def test_a_device_that_is_not_there(tiny_causal: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    with pytest.raises(UsageError, match="'cuda:0' cannot be used here"):
        only(hf(str(tiny_causal), device="cuda:0"), "ba", Settings())


def test_missing_torch_is_found_before_any_work(tiny_causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PluginError, match=r"transformers is missing: pip install 'reward-harness\[hf\]'"):
        hf(str(tiny_causal))


def test_torch_that_cannot_be_imported_names_the_extra(tiny_causal: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = hf(str(tiny_causal))
    monkeypatch.delitem(sys.modules, "harness_plugins.hf_runtime", raising=False)
    monkeypatch.delattr("harness_plugins.hf_runtime", raising=False)
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(PluginError, match=r"pip install 'reward-harness\[hf\]'"):
        only(found, "ba", Settings())


def test_importing_the_plugin_is_cheap() -> None:
    code = (
        "import sys, harness_plugins.hf as h, harness_plugins.openai, harness_plugins.replay, harness_plugins.echo\n"
        "h.hf('smollm2-135m'); harness_plugins.openai.openai('m')\n"
        "heavy = {'torch', 'transformers', 'httpx', 'pandas', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- the console --------------------------------------------------------------------------------------------


def test_nothing_reaches_the_console(tiny_chat: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(model(tiny_chat), requests(["ba " * 70, "de fi", None], 2), SAMPLING)
        run(model(tiny_chat), requests(["ba", "de fi"], 2), Settings(n=2, num_beams=2, max_new_tokens=4))
    assert capfd.readouterr() == ("", "")


def test_verbosity_is_given_back(tiny_causal: Path) -> None:
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    only(model(tiny_causal), "ba", Settings(max_new_tokens=2))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_close_lets_go_and_use_loads_again(tiny_causal: Path) -> None:
    adapter = model(tiny_causal)
    first = only(adapter, "ba", Settings(max_new_tokens=3))
    loaded = adapter.runtime()
    adapter.close()
    assert only(adapter, "ba", Settings(max_new_tokens=3)) == first
    assert adapter.runtime() is not loaded


def test_registers_under_its_name() -> None:
    found: dict[str, Any] = {}
    plugin.register_models(lambda name, factory: found.update({name: factory}))
    assert found == {"hf": hf}
