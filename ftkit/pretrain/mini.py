"""The base `mini`: a small BERT-type encoder, taught by documentation prose to guess hidden words, then to find neighbours too.

Guessing hidden words is masked-language modelling (Devlin et al. 2019, arXiv:1810.04805); telling which two spans of text stand close to
each other is a contrastive loss over the batch, asked of the state of [CLS], begun when words are known (Giorgi et al. 2021, DeCLUTR,
arXiv:2006.03659). Two things spare steps in the first stage: word vectors start from a factorisation of co-occurrence counts (PPMI-SVD;
Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization") and the output bias from log word frequencies, so that no
step is spent on what counting knows.
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
from ftkit.pretrain.words import pack, ppmi_vectors, train_tokenizer, unigram_loss
from ftkit.storage import write_json
from ftkit.tasks import docs

VOCABULARY, WIDTH, LAYERS, HEADS, INNER, POSITIONS = 8192, 96, 3, 4, 192, 128
BATCH_TOKENS, WARMUP, MASKED, CLS_ID, MASK_ID = 2048, 0.05, 0.15, 2, 4
WORDS_STEPS, WORDS_LR = 16_000, 2e-3
NEIGHBOURS_STEPS, NEIGHBOURS_LR = 6_000, 1e-3
LENGTHS, NEARBY, TEMPERATURE = (16, 32, 64, 128), 4, 0.1
"""The second stage's row lengths, one drawn a step; how many lengths apart two neighbours may begin; the contrastive temperature."""
Stage = Callable[[BertForMaskedLM, Tensor, torch.Generator, float], dict[str, Tensor]]

CARD = """\
# mini

A small BERT-type encoder (Devlin et al. 2019, arXiv:1810.04805) with its masked-language head: {LAYERS} blocks of
width {WIDTH} with {HEADS} heads and an inner width of {INNER}, {POSITIONS} positions, a lower-case WordPiece vocabulary
of {VOCABULARY:,}.

- **Read** the documentation prose of the packages that the kit installs, Python's own included: {paragraphs:,}
  paragraphs, {millions:.1f} million characters, {tokens:,} tokens. None of it is stored here.
- **Never read** a sentence whose hash lies below 0.25, where the valid and test splits of the docs task lie, nor any
  sentence that contains one of those word for word (docs fingerprint {docs}).
- **Training**, {seen:.0f} million packed tokens in all, {BATCH_TOKENS:,} a step, one thread, seed 0, AdamW, warm-up and linear
  decay. First {WORDS_STEPS:,} steps of masked-language modelling (rows of 64, in the last tenth of the steps rows of 128; peak
  learning rate {WORDS_LR:g}); word vectors start from PPMI-SVD, the output bias from log frequencies. Then {NEIGHBOURS_STEPS:,}
  steps of the same plus a contrastive loss (DeCLUTR, Giorgi et al. 2021, arXiv:2006.03659): by the
  state of its [CLS], each row must find the row that stands near it in the source among the other rows (rows of {lengths}; temperature
  {TEMPERATURE}; peak learning rate {NEIGHBOURS_LR:g}).
- **Command**: `make bases` (one to two hours of one core). Versions: `constraints.txt`.
- **Figures**, in nats a hidden word; guessing by word frequency costs {unigram:.2f}. More in `pretraining.json`. (The running
  training loss of the first stage jumps where its rows get longer and the new positions are still untrained.)
- **What neighbours teach**: spans close to each other often come from one library, and libraries are what the
  docs task asks for. No label was used, but the docs task is near this base by more than its words.
- **For**: learning about fine-tuning. It knows the words of technical documentation and little else.

| step | hidden words, train (running) | hidden words, held out | neighbours, train (running) |
|---|---|---|---|
{rows}
"""


def new_model(ids: Tensor, counted: bool = True) -> BertForMaskedLM:
    """A fresh encoder with its masked-language head; `counted` starts it from word counts, otherwise everything is noise."""
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
    """The rows with `MASKED` of their words hidden (80 % as [MASK], 10 % as another word, 10 % as they were) and where; (n, length)."""
    chosen = (torch.rand(rows.shape, generator=generator) < MASKED) & (rows > MASK_ID)
    how = torch.rand(rows.shape, generator=generator)
    other = torch.randint(MASK_ID + 1, VOCABULARY, rows.shape, generator=generator)
    shown = torch.where(
        chosen & (how < 0.8), MASK_ID, torch.where(chosen & (how >= 0.9), other, rows)
    )
    return shown, chosen


def masked_loss(
    model: BertForMaskedLM, rows: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy, in nats, of the hidden words of `rows` (n, length), and the hidden states (n, length, width)."""
    shown, chosen = hide(rows, generator)
    hidden = model.bert(input_ids=shown).last_hidden_state
    return F.cross_entropy(model.cls(hidden[chosen]), rows[chosen]), hidden


def first_stage(
    model: BertForMaskedLM, ids: Tensor, generator: torch.Generator, done: float
) -> dict[str, Tensor]:
    """The loss on rows from anywhere in the tokens `ids`; `done` is the share of the stage that is over."""
    length = 64 if done < 0.9 else 128
    starts = torch.randint(0, len(ids) - length, (BATCH_TOKENS // length, 1), generator=generator)
    return {"train": masked_loss(model, ids[starts + torch.arange(length)], generator)[0]}


def second_stage(
    model: BertForMaskedLM, ids: Tensor, generator: torch.Generator, done: float
) -> dict[str, Tensor]:
    """The loss on pairs of rows that begin less than `NEARBY` + 1 lengths apart: their hidden words, and finding each other.

    Rows begin with [CLS], whose state alone must find the neighbour. Asked of the mean over the row, which is what a head reads, it would
    leave lessons nothing to teach: on docs a frozen body then did as well as LoRA.
    """
    length = LENGTHS[int(torch.randint(len(LENGTHS), (), generator=generator))]
    pairs = BATCH_TOKENS // length // 2
    first = torch.randint(len(ids) - (NEARBY + 2) * length, (pairs, 1), generator=generator)
    apart = length + torch.randint(NEARBY * length, (pairs, 1), generator=generator)
    rows = ids[torch.cat([first, first + apart]) + torch.arange(length)]
    rows[:, 0] = CLS_ID
    words, hidden = masked_loss(model, rows, generator)
    return {"train": words, "neighbours": neighbour_loss(hidden[:, 0])}


def neighbour_loss(states: Tensor) -> Tensor:
    """Row i of the first half of `states` (2n, width) must find row i of the second half by cosine, and the other way round; in nats."""
    first, second = F.normalize(states, dim=1).chunk(2)
    alike = first @ second.T / TEMPERATURE
    own = torch.arange(len(first))
    return (F.cross_entropy(alike, own) + F.cross_entropy(alike.T, own)) / 2


def held_out_loss(model: BertForMaskedLM, ids: Tensor) -> float:
    """`masked_loss` on the first 64 x 1,024 of the held-out tokens `ids`, or what there is, the same words hidden every time."""
    generator = torch.Generator().manual_seed(0)
    rows = ids[: min(64 * 1024, len(ids) // 64 * 64)].view(-1, 64)
    with torch.no_grad():
        return sum(masked_loss(model, part, generator)[0].item() for part in rows.split(256)) / len(
            rows.split(256)
        )


def pretrain(
    model: BertForMaskedLM, stage: Stage, ids: Tensor, held_out: Tensor, steps: int, lr: float
) -> Iterator[dict[str, float]]:
    """Trains `model` in place on the tokens `ids` and yields a reading every 500 steps and at the end."""
    generator = torch.Generator().manual_seed(0)
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
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
    """Makes the base anew in `folder`, with `pretraining.json`: what was read and how the loss fell."""
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
    curve = list(shown(pretrain(model, first_stage, ids, held_out, WORDS_STEPS, WORDS_LR)))
    in_order = pack(without(everything, kept_out), tokenizer)
    curve += shown(
        pretrain(model, second_stage, in_order, held_out, NEIGHBOURS_STEPS, NEIGHBOURS_LR)
    )
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


def shown(readings: Iterator[dict[str, float]]) -> Iterator[dict[str, float]]:
    """The readings, each printed as it comes."""
    for reading in readings:
        print(json.dumps(reading), flush=True)
        yield reading


def card(facts: dict[str, Any]) -> str:
    """The base's CARD.md, from what `build` recorded."""
    curve = facts["curve"]
    first = WORDS_STEPS // 500
    picked = [curve[0], *curve[3 : first - 1 : 4], curve[first - 1], *curve[first + 3 :: 4]]
    rows = "\n".join(
        f"| {row['step']:,} | {row['train']:.2f} | {row['held_out']:.2f} | "
        + (f"{row['neighbours']:.2f} |" if "neighbours" in row else "not yet |")
        for row in picked
    )
    known = {**globals(), **facts, "millions": facts["characters"] / 1e6, "rows": rows}
    seen = (WORDS_STEPS + NEIGHBOURS_STEPS) * BATCH_TOKENS / 1e6
    return CARD.format(**known, seen=seen, lengths=", ".join(map(str, LENGTHS)))


if __name__ == "__main__":
    build(Path("data/bases/mini"))
