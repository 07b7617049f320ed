"""Throughput of the `hf` adapter against a bare `model.generate()` that samples, on the same sorted batches.

    python benchmarks/generate_throughput.py [--model hf:FOLDER] [--device cpu] [--runs 5]

Both draw the same number of tokens (the end token is switched off), with temperature and top-p as given. The bare
side gets its batches tokenised and padded beforehand and its output undecoded; the adapter is timed with everything
it does: templates, tokens, padding, one generator per row, texts. The two take turns batch by batch,
first one and then the other ahead, so that a slow spell of the machine hits both. Goal: a ratio of at least 0.85.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from harness import Request, Sample, Settings
from harness_plugins.hf import HfModel, hf
from harness_plugins.hf_runtime import quiet

TEXT = (
    "name[The Vaults], eatType[pub], priceRange[more than £30], customer rating[5 out of 5], food[French], "
    "near[Café Adriatic], familyFriendly[yes], area[riverside], with a garden, live music and a view of the harbour"
)


def requests(count: int, n: int) -> list[Request]:
    """Prompts of 8 to 40 words, each to be completed `n` times."""
    words = TEXT.split() * 2
    prompts = ["Describe the restaurant in one sentence. " + " ".join(words[: 3 + (7 * i) % 33]) for i in range(count)]
    return [Request(Sample(str(i), prompt), tuple(1000 * i + k for k in range(n))) for i, prompt in enumerate(prompts)]


def batches(model: HfModel, asked: Sequence[Request], settings: Settings) -> list[list[Request]]:
    """As the host plans them: sorted by length, whole requests, rows times padded length within the budget."""
    lengths = model.prompt_tokens(asked)
    planned: list[list[Request]] = []
    for index in sorted(range(len(asked)), key=lengths.__getitem__):
        width = lengths[index] + settings.max_new_tokens
        if planned and (len(planned[-1]) + 1) * settings.n * width <= settings.batch_tokens:
            planned[-1].append(asked[index])
        else:
            planned.append([asked[index]])
    return planned


def bare_inputs(model: HfModel, batch: Sequence[Request]) -> dict[str, torch.Tensor]:
    runtime = model.runtime()
    rows = [list(runtime.encode(request.sample.prompt)) for request in batch for _ in request.seeds]
    with quiet():
        padded = runtime.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
    return {name: padded[name].to(runtime.device) for name in ("input_ids", "attention_mask")}


def bare(model: HfModel, inputs: dict[str, torch.Tensor], settings: Settings) -> int:
    """New tokens drawn by transformers' own sampling."""
    torch.manual_seed(settings.seed)
    generator: Any = model.runtime().model
    with quiet():
        output = generator.generate(
            **inputs,
            do_sample=True,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=0,
            max_new_tokens=settings.max_new_tokens,
        )
    return int(output[:, inputs["input_ids"].shape[1] :].numel())


def adapter(model: HfModel, batch: Sequence[Request], settings: Settings) -> int:
    """New tokens drawn by the adapter."""
    return sum(c.tokens or 0 for _, group in model.generate(batch, settings) for c in group)


def timed(work: Callable[[], int], device: torch.device) -> tuple[int, float]:
    """(new tokens, seconds)."""
    start = time.perf_counter()
    tokens = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return tokens, time.perf_counter() - start


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="hf:smollm2-135m")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--top-p", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    model = hf(args.model.removeprefix("hf:"), device=args.device)
    settings = Settings(
        n=args.n, temperature=args.temperature, top_p=args.top_p, max_new_tokens=args.max_new_tokens,
        batch_tokens=args.batch_tokens,
    )  # fmt: skip
    runtime = model.runtime()
    runtime.without_end_tokens()
    planned = batches(model, requests(args.prompts, args.n), settings)
    inputs = [bare_inputs(model, batch) for batch in planned]
    shapes = ", ".join("x".join(map(str, batch["input_ids"].shape)) for batch in inputs)
    print(f"{model.name} on {runtime.device}, {torch.get_num_threads()} threads; batches (rows x prompt): {shapes}")

    rates: dict[str, list[float]] = {"bare": [], "adapter": []}
    for run in range(args.runs + 1):
        totals = {name: [0, 0.0] for name in rates}
        for place, (batch, padded) in enumerate(zip(planned, inputs, strict=True)):
            sides = {
                "bare": lambda padded=padded: bare(model, padded, settings),
                "adapter": lambda batch=batch: adapter(model, batch, settings),
            }
            for name in sorted(sides, reverse=bool((run + place) % 2)):
                tokens, seconds = timed(sides[name], runtime.device)
                totals[name] = [totals[name][0] + tokens, totals[name][1] + seconds]
        speed = {name: tokens / seconds for name, (tokens, seconds) in totals.items()}
        print(
            f"{f'run {run}' if run else 'warm-up'}: bare {speed['bare']:.1f}, adapter {speed['adapter']:.1f} tokens/s, "
            f"ratio {speed['adapter'] / speed['bare']:.3f}",
            flush=True,
        )
        for name in rates if run else ():
            rates[name].append(speed[name])
    middle = {name: statistics.median(values) for name, values in rates.items()}
    ratio = statistics.median(a / b for a, b in zip(rates["adapter"], rates["bare"], strict=True))
    print(
        f"median: bare {middle['bare']:.1f}, adapter {middle['adapter']:.1f} tokens/s; ratio {ratio:.3f} (goal: 0.85)"
    )


if __name__ == "__main__":
    main()
