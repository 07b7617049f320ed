"""What anyone may add to the harness: a metric, a reward made from a plain function, and a model."""

import harness


class Shout:
    """The share of letters that are upper-case. A text without letters has none."""

    infos = (harness.ScoreInfo("shout", higher_is_better=False),)

    def __call__(self, batch):
        return {"shout": harness.scores_from(self.infos[0], "shout|v:1", [share(text) for text in batch.texts])}


def share(text):
    letters = [char for char in text if char.isalpha()]
    return sum(map(str.isupper, letters)) / len(letters) if letters else harness.NoValue("abstain", "no letters")


def brevity(completions):
    return [1 / (1 + len(text.split())) for text in completions]


class Parrot:
    """Answers with the prompt, said `times` over, in capitals from the second completion on."""

    name, fingerprint = "parrot", "parrot:1"

    def __init__(self, rest, *, times: int = 1):
        if times < 1:
            raise ValueError(f"times must be at least 1, not {times}")
        self.times = times

    def generate(self, requests, settings):
        for index, request in enumerate(requests):
            said = " ".join([harness.prompt_text(request.sample.prompt)] * self.times)
            yield index, tuple(harness.Completion(said.upper() if n else said) for n, _ in enumerate(request.seeds))


@harness.hookimpl
def register_metrics(register):
    register("shout", Shout)


@harness.hookimpl
def register_rewards(register):
    register("brevity", lambda: harness.metric_from(brevity))


@harness.hookimpl
def register_models(register):
    register("parrot", Parrot)
