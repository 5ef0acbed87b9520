"""The base `mini`: a small BERT-type encoder, pretrained on documentation prose.

1. Guess hidden words: masked-language modelling (Devlin et al. 2019, arXiv:1810.04805).
2. In addition, find out which two spans of text are close to each other: a contrastive loss over
   the batch, on the state of [CLS] (Giorgi et al. 2021, DeCLUTR, arXiv:2006.03659).

Two things save steps in the first stage. Word vectors start from a factorisation of co-occurrence
counts (PPMI-SVD; Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix
Factorization"), and the output bias starts from log word frequencies. No step is spent on what
counting can find.
"""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM

from ftkit.pretrain.corpus import all_prose, held_out_prose, without
from ftkit.pretrain.shipped import make_base
from ftkit.pretrain.words import pack, ppmi_vectors, train_tokenizer, unigram_loss
from ftkit.storage import write_json
from ftkit.tasks import docs

VOCABULARY, WIDTH, LAYERS, HEADS, INNER, POSITIONS = 8192, 96, 3, 4, 192, 128
BATCH_TOKENS, WARMUP, MASKED, CLS_ID, MASK_ID = 2048, 0.05, 0.15, 2, 4
WORDS_STEPS, WORDS_LR = 16_000, 2e-3
NEIGHBOURS_STEPS, NEIGHBOURS_LR = 6_000, 1e-3
LENGTHS, NEARBY, TEMPERATURE = (16, 32, 64, 128), 4, 0.1
"""Of the second stage: the lengths of rows, one drawn a step; the most lengths between the starts
of two neighbours; and the temperature of the contrastive loss."""
Stage = Callable[[BertForMaskedLM, Tensor, torch.Generator, float], dict[str, Tensor]]
"""From the model, the tokens, a generator and the share of the stage that is over, to losses."""

CARD = """\
# mini

A small BERT-type encoder (Devlin et al. 2019, arXiv:1810.04805) with its masked-language head:
{LAYERS} blocks of width {WIDTH} with {HEADS} heads and an inner width of {INNER}, {POSITIONS}
positions, a lower-case WordPiece vocabulary of {VOCABULARY:,}.

- **Read** the documentation prose of the packages that the kit installs, Python's own included:
  {paragraphs:,} paragraphs, {millions:.1f} million characters, {tokens:,} tokens. None of it is
  stored here.
- **Never read** a sentence whose hash is below 0.25, which all sentences of the validation and
  test splits of the docs task are, nor any sentence that contains one of those word for word
  (docs fingerprint {docs}).
- **Training**: {seen:.0f} million packed tokens in all, {BATCH_TOKENS:,} a step, one thread, seed
  0, AdamW, warm-up and linear decay. First {WORDS_STEPS:,} steps of masked-language modelling
  (rows of 64, in the last tenth of the steps rows of 128; peak learning rate {WORDS_LR:g}); word
  vectors start from PPMI-SVD, the output bias from log frequencies. Then {NEIGHBOURS_STEPS:,}
  steps of the same plus a contrastive loss (DeCLUTR, Giorgi et al. 2021, arXiv:2006.03659): by
  the state of its [CLS], each row must find, among all other rows, the one that is near it in the
  source (rows of {lengths}; temperature {TEMPERATURE}; peak learning rate {NEIGHBOURS_LR:g}).
- **Command**: `make bases` (one to two hours of one core). Versions: `constraints.txt`.
- **Figures**, in nats a hidden word; guessing by word frequency costs {unigram:.2f}. More in
  `pretraining.json`. (The running training loss of the first stage jumps when its rows get
  longer: the new positions are still untrained.)
- **What neighbours teach**: spans close to each other often come from one library, and libraries
  are what the docs task asks for. No label was used, but this base is near the docs task by more
  than its words.
- **For**: learning about fine-tuning. It knows the words of technical documentation and little
  else.

| step | hidden words, train (running) | hidden words, held out | neighbours, train (running) |
|---|---|---|---|
{rows}
"""


def new_model(ids: Tensor, counted: bool = True) -> BertForMaskedLM:
    """Make a new encoder with its masked-language head.

    With `counted`, word vectors and output bias start from counts in the tokens `ids`; everything
    else is random.
    """
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        max_position_embeddings=POSITIONS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=0,
    )
    model = BertForMaskedLM(config)
    if counted:
        frequency = torch.bincount(ids, minlength=VOCABULARY).float() + 1
        with torch.no_grad():
            model.bert.embeddings.word_embeddings.weight.copy_(ppmi_vectors(ids, VOCABULARY, WIDTH))
            model.cls.predictions.bias.copy_((frequency / frequency.sum()).log())
    return model


def hide(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Hide a share `MASKED` of the words of `rows` (n, length).

    Of the hidden words 80 % become [MASK], 10 % another word, and 10 % stay.

    Returns:
        The rows with hidden words, and a mask of where they are, both (n, length).
    """
    chosen = (torch.rand(rows.shape, generator=generator) < MASKED) & (rows > MASK_ID)
    how = torch.rand(rows.shape, generator=generator)
    other = torch.randint(MASK_ID + 1, VOCABULARY, rows.shape, generator=generator)
    hidden = torch.where(chosen & (how >= 0.9), other, rows)
    hidden = torch.where(chosen & (how < 0.8), MASK_ID, hidden)
    return hidden, chosen


def masked_loss(
    model: BertForMaskedLM, rows: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Hide words of `rows` (n, length) and guess them.

    Returns:
        The mean cross-entropy in nats, and the hidden states (n, length, width).
    """
    with_hidden, chosen = hide(rows, generator)
    states = model.bert(input_ids=with_hidden).last_hidden_state
    return F.cross_entropy(model.cls(states[chosen]), rows[chosen]), states


def first_stage(
    model: BertForMaskedLM, ids: Tensor, generator: torch.Generator, done: float
) -> dict[str, Tensor]:
    """The loss of the first stage, on rows from anywhere in the tokens `ids`.

    `done` is the share of the stage that is over: rows are longer in its last tenth.
    """
    length = 64 if done < 0.9 else 128
    starts = torch.randint(0, len(ids) - length, (BATCH_TOKENS // length, 1), generator=generator)
    return {"train": masked_loss(model, ids[starts + torch.arange(length)], generator)[0]}


def second_stage(
    model: BertForMaskedLM, ids: Tensor, generator: torch.Generator, done: float
) -> dict[str, Tensor]:
    """The losses of the second stage, on pairs of rows that are near each other.

    A row must guess its hidden words and find its neighbour; the two begin less than `NEARBY` + 1
    lengths apart. Every row begins with [CLS], and only the state of [CLS] must find the
    neighbour. With the mean over the row, which is the input of a head, the lessons would have
    nothing to teach: on docs a frozen body was then as good as LoRA.
    """
    length = LENGTHS[int(torch.randint(len(LENGTHS), (), generator=generator))]
    pairs = BATCH_TOKENS // length // 2
    first = torch.randint(len(ids) - (NEARBY + 2) * length, (pairs, 1), generator=generator)
    apart = length + torch.randint(NEARBY * length, (pairs, 1), generator=generator)
    rows = ids[torch.cat([first, first + apart]) + torch.arange(length)]
    rows[:, 0] = CLS_ID
    words, states = masked_loss(model, rows, generator)
    return {"train": words, "neighbours": neighbour_loss(states[:, 0])}


def neighbour_loss(states: Tensor) -> Tensor:
    """The contrastive loss of `states` (2n, width), in nats.

    By its cosines, row i of the first half must find row i of the second half among all rows
    there, and the other way round.
    """
    first, second = F.normalize(states, dim=1).chunk(2)
    cosines = first @ second.T / TEMPERATURE
    neighbour = torch.arange(len(first))
    there, back = F.cross_entropy(cosines, neighbour), F.cross_entropy(cosines.T, neighbour)
    return (there + back) / 2


def held_out_loss(model: BertForMaskedLM, ids: Tensor) -> float:
    """`masked_loss` on up to 64 x 1,024 of the held-out tokens `ids`.

    The same words are hidden every time.
    """
    generator = torch.Generator().manual_seed(0)
    rows = ids[: min(64 * 1024, len(ids) // 64 * 64)].view(-1, 64)
    parts = rows.split(256)
    with torch.no_grad():
        return sum(masked_loss(model, part, generator)[0].item() for part in parts) / len(parts)


def pretrain(
    model: BertForMaskedLM, stage: Stage, ids: Tensor, held_out: Tensor, steps: int, lr: float
) -> Iterator[dict[str, float]]:
    """Train `model` in place on the tokens `ids`.

    Yields:
        Every 500 steps and at the end: `step`, a running mean of each training loss, and the
        `held_out` loss.
    """
    generator = torch.Generator().manual_seed(0)
    matrices = [weight for weight in model.parameters() if weight.ndim > 1]
    vectors = [weight for weight in model.parameters() if weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=True)
    running: dict[str, float] = {}
    for step in range(1, steps + 1):
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = lr * min(done / WARMUP, (1 - done) / (1 - WARMUP))
        terms = stage(model, ids, generator, done)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running = {
            name: 0.98 * running.get(name, loss.item()) + 0.02 * loss.item()
            for name, loss in terms.items()
        }
        if step % 500 == 0 or step == steps:
            yield {"step": step, **running, "held_out": held_out_loss(model, held_out)}


def build(folder: Path) -> None:
    """Make the base again in `folder`.

    With it come `pretraining.json`, which says what was read and how the loss fell, and CARD.md.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = docs.load("docs")
    everything = all_prose()
    kept_out = [*task.valid["text"], *task.test["text"]]
    texts = without(sorted(everything), kept_out)
    random.Random(0).shuffle(texts)
    tokenizer = train_tokenizer(texts, VOCABULARY, POSITIONS)
    ids, held_out = pack(texts, tokenizer), pack(held_out_prose(everything), tokenizer)
    model = new_model(ids)
    first = pretrain(model, first_stage, ids, held_out, WORDS_STEPS, WORDS_LR)
    curve = list(printed(first))
    in_order = pack(without(everything, kept_out), tokenizer)
    second = pretrain(model, second_stage, in_order, held_out, NEIGHBOURS_STEPS, NEIGHBOURS_LR)
    curve += printed(second)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    facts = {
        "docs": task.fingerprint,
        "paragraphs": len(texts),
        "characters": sum(map(len, texts)),
        "tokens": len(ids),
    }
    facts |= {"unigram": unigram_loss(ids, held_out, VOCABULARY), "curve": curve}
    write_json(folder / "pretraining.json", facts)
    (folder / "CARD.md").write_text(card(facts))


def printed(losses: Iterator[dict[str, float]]) -> Iterator[dict[str, float]]:
    """Print each row of losses as it comes, and pass it on."""
    for row in losses:
        print(json.dumps(row), flush=True)
        yield row


def card(facts: dict[str, Any]) -> str:
    """The text of the base's CARD.md, from the facts in `pretraining.json`."""
    curve = facts["curve"]
    # The first row, then every fourth; always the last of the first stage.
    first = WORDS_STEPS // 500
    picked = [curve[0], *curve[3 : first - 1 : 4], curve[first - 1], *curve[first + 3 :: 4]]
    rows = "\n".join(
        f"| {row['step']:,} | {row['train']:.2f} | {row['held_out']:.2f} | "
        + (f"{row['neighbours']:.2f} |" if "neighbours" in row else "not yet |")
        for row in picked
    )
    derived = {
        "millions": facts["characters"] / 1e6,
        "seen": (WORDS_STEPS + NEIGHBOURS_STEPS) * BATCH_TOKENS / 1e6,
        "lengths": ", ".join(map(str, LENGTHS)),
        "rows": rows,
    }
    constants = globals()  # such as LAYERS and WORDS_LR
    return CARD.format(**{**constants, **facts, **derived})


if __name__ == "__main__":
    make_base("mini", build)
