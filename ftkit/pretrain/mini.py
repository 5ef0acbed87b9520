"""The base `mini`: a small BERT-type encoder, masked-language modelling on documentation prose (Devlin et al. 2019, arXiv:1810.04805).

Two things make an hour of one core go further than plain training from noise: the word vectors start from a factorisation of
co-occurrence counts (PPMI-SVD; Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization") and the output bias
starts from log word frequencies, so that no step is spent on learning what counting knows.
"""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import svds
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from ftkit import docs
from ftkit.pretrain.corpus import all_prose, held_out_prose, without
from ftkit.record import write_json

VOCABULARY, WIDTH, LAYERS, HEADS, INNER, POSITIONS = 8192, 96, 3, 4, 192, 128
PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
STEPS, BATCH_TOKENS, LR, WARMUP, MASKED = 16_000, 2048, 2e-3, 0.05, 0.15


CARD = """\
# mini

A small BERT-type encoder (Devlin et al. 2019, arXiv:1810.04805) with its masked-language head: {LAYERS} blocks of
width {WIDTH} with {HEADS} heads and an inner width of {INNER}, {POSITIONS} positions, a lower-case WordPiece vocabulary
of {VOCABULARY:,}.

- **Read** the documentation prose of the packages that the kit installs, Python's own included: {paragraphs:,}
  paragraphs, {millions:.1f} million characters, {tokens:,} tokens. None of it is stored here.
- **Never read** a sentence whose hash lies below 0.25, where the valid and test splits of the docs task lie, nor any
  sentence that contains one of those word for word (docs fingerprint {docs}).
- **Training**: masked-language modelling, {STEPS:,} steps of {BATCH_TOKENS:,} packed tokens ({seen:.0f} million in
  all; rows of 64, in the last tenth of the steps rows of 128), AdamW, warm-up to {LR:g} and linear decay, seed 0, one
  thread. Word vectors start from PPMI-SVD, the output bias from log frequencies.
- **Command**: `make bases` (one to two hours of one core). Versions: `constraints.txt`.
- **Figures**, in nats a hidden word; guessing by word frequency costs 6.18. More in `pretraining.json`. (The running
  training loss jumps where the rows get longer and its new positions are still untrained.)
- **For**: learning about fine-tuning. It knows the words of technical documentation and little else.

| step | train (running) | held out |
|---|---|---|
{rows}
"""


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A lower-case WordPiece vocabulary of `VOCABULARY` entries, learnt on `texts`."""
    special = [PAD, UNKNOWN, CLS, SEP, MASK]
    inner = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.train_from_iterator(texts, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special, show_progress=False))
    ends = [(CLS, inner.token_to_id(CLS)), (SEP, inner.token_to_id(SEP))]
    inner.post_processor = processors.TemplateProcessing(single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=POSITIONS,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
    )


def pack(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """All `texts` as one long row of token ids, each between [CLS] and [SEP]: no padding, no token wasted; shape (tokens,)."""
    rows = (row for start in range(0, len(texts), 2000) for row in tokenizer(texts[start : start + 2000])["input_ids"])
    return torch.from_numpy(np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]))


def ppmi_vectors(ids: Tensor, window: int = 4) -> Tensor:
    """Word vectors from counts: the truncated SVD of the positive pointwise mutual information of neighbours; (VOCABULARY, WIDTH)."""
    flat = ids.numpy()
    counts = sparse.csr_matrix((VOCABULARY, VOCABULARY))
    for distance in range(1, window + 1):
        weight = np.full(len(flat) - distance, 1.0 / distance)
        counts = counts + sparse.csr_matrix((weight, (flat[:-distance], flat[distance:])), shape=counts.shape)
    pairs = (counts + counts.T).tocoo()
    words = np.asarray(pairs.tocsr().sum(1)).ravel()
    contexts = words**0.75 / (words**0.75).sum()
    with np.errstate(divide="ignore"):
        information = np.log(pairs.data / words[pairs.row] / contexts[pairs.col])
    kept = information > 0
    ppmi = sparse.csr_matrix((information[kept], (pairs.row[kept], pairs.col[kept])), shape=counts.shape)
    left, values, _ = svds(ppmi, k=WIDTH, v0=np.ones(VOCABULARY))
    vectors = torch.from_numpy((left * np.sqrt(values)).astype(np.float32).copy())
    return 0.1 * vectors / vectors.norm(dim=1).mean() * math.sqrt(WIDTH)


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
            model.bert.embeddings.word_embeddings.weight.copy_(ppmi_vectors(ids))
            model.cls.predictions.bias.copy_((frequency / frequency.sum()).log())
    return model


def hide(rows: Tensor, generator: torch.Generator, mask_id: int) -> tuple[Tensor, Tensor]:
    """The rows with `MASKED` of their words hidden (80 % as [MASK], 10 % as another word, 10 % as they were) and where; (n, length)."""
    chosen = (torch.rand(rows.shape, generator=generator) < MASKED) & (rows > mask_id)
    how = torch.rand(rows.shape, generator=generator)
    other = torch.randint(mask_id + 1, VOCABULARY, rows.shape, generator=generator)
    shown = torch.where(chosen & (how < 0.8), mask_id, torch.where(chosen & (how >= 0.9), other, rows))
    return shown, chosen


def masked_loss(model: BertForMaskedLM, rows: Tensor, generator: torch.Generator) -> Tensor:
    """The mean cross-entropy, in nats, of the hidden words of `rows` (n, length); logits are computed at the hidden places alone."""
    shown, chosen = hide(rows, generator, mask_id=4)
    hidden = model.bert(input_ids=shown).last_hidden_state
    return F.cross_entropy(model.cls(hidden[chosen]), rows[chosen])


def held_out_loss(model: BertForMaskedLM, ids: Tensor) -> float:
    """`masked_loss` on the first 64 x 1,024 of the held-out tokens `ids`, or what there is, the same words hidden every time."""
    generator = torch.Generator().manual_seed(0)
    rows = ids[: min(64 * 1024, len(ids) // 64 * 64)].view(-1, 64)
    with torch.no_grad():
        return sum(masked_loss(model, part, generator).item() for part in rows.split(256)) / len(rows.split(256))


def pretrain(model: BertForMaskedLM, ids: Tensor, held_out: Tensor, steps: int = STEPS, lr: float = LR) -> Iterator[dict[str, float]]:
    """Trains `model` in place and yields a reading every 500 steps; the last tenth of the steps sees rows twice as long."""
    generator = torch.Generator().manual_seed(0)
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), fused=True)
    running = math.nan
    for step in range(1, steps + 1):
        done = step / steps
        rate = lr * min(1.0, done / WARMUP) * (1 - done) / (1 - WARMUP) if done > WARMUP else lr * done / WARMUP
        for group in optimizer.param_groups:
            group["lr"] = rate
        length = 64 if done < 0.9 else 128
        starts = torch.randint(0, len(ids) - length, (BATCH_TOKENS // length, 1), generator=generator)
        loss = masked_loss(model, ids[starts + torch.arange(length)], generator)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        running = loss.item() if math.isnan(running) else 0.98 * running + 0.02 * loss.item()
        if step % 500 == 0 or step == steps:
            yield {"step": step, "train": running, "held_out": held_out_loss(model, held_out)}


def build(folder: Path) -> None:
    """Makes the base anew in `folder`, with `pretraining.json`: what was read and how the loss fell."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    task = docs.load("docs")
    everything = all_prose()
    texts = without(everything, [*task.valid["text"], *task.test["text"]])
    random.Random(0).shuffle(texts)
    tokenizer = train_tokenizer(texts)
    ids, held_out = pack(texts, tokenizer), pack(held_out_prose(everything), tokenizer)
    model = new_model(ids)
    curve = []
    for reading in pretrain(model, ids, held_out):
        curve.append(reading)
        print(json.dumps(reading), flush=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    facts = {"docs": task.fingerprint, "paragraphs": len(texts), "characters": sum(map(len, texts)), "tokens": len(ids), "curve": curve}
    write_json(folder / "pretraining.json", facts)
    (folder / "CARD.md").write_text(card(facts))


def card(facts: dict[str, Any]) -> str:
    """The base's CARD.md, from what `build` recorded."""
    curve = facts["curve"]
    shown = [curve[0], *curve[3:-1:4], curve[-1]]
    rows = "\n".join(f"| {row['step']:,} | {row['train']:.2f} | {row['held_out']:.2f} |" for row in shown)
    known = {**globals(), **facts, "millions": facts["characters"] / 1e6, "seen": STEPS * BATCH_TOKENS / 1e6, "rows": rows}
    return CARD.format(**known)


if __name__ == "__main__":
    build(Path("data/bases/mini"))
