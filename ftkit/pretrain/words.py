"""Words before any training: a WordPiece vocabulary, a corpus as one row of numbers, and word vectors from counting neighbours."""

import math

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import svds
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"


def train_tokenizer(texts: list[str], size: int, longest: int) -> PreTrainedTokenizerFast:
    """A lower-case WordPiece vocabulary of `size` entries, learnt on `texts`, for a model that reads up to `longest` tokens."""
    special = [PAD, UNKNOWN, CLS, SEP, MASK]
    inner = Tokenizer(models.WordPiece(unk_token=UNKNOWN))
    inner.normalizer = normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.train_from_iterator(
        texts,
        trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False),
    )
    ends = [(CLS, inner.token_to_id(CLS)), (SEP, inner.token_to_id(SEP))]
    inner.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}", pair=f"{CLS} $A {SEP} $B:1 {SEP}:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=longest,
        pad_token=PAD,
        unk_token=UNKNOWN,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
    )


def pack(texts: list[str], tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """All `texts` as one long row of token ids, each between [CLS] and [SEP]: no padding, no token wasted; shape (tokens,)."""
    rows = (
        row
        for start in range(0, len(texts), 2000)
        for row in tokenizer(texts[start : start + 2000])["input_ids"]
    )
    return torch.from_numpy(np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]))


def ppmi_vectors(ids: Tensor, size: int, width: int, window: int = 4) -> Tensor:
    """Word vectors from counts: the truncated SVD of the positive pointwise mutual information of neighbours; shape (size, width)."""
    flat = ids.numpy()
    counts = sparse.csr_matrix((size, size))
    for distance in range(1, window + 1):
        weight = np.full(len(flat) - distance, 1.0 / distance)
        counts = counts + sparse.csr_matrix(
            (weight, (flat[:-distance], flat[distance:])), shape=counts.shape
        )
    pairs = (counts + counts.T).tocoo()
    words = np.asarray(pairs.tocsr().sum(1)).ravel()
    contexts = words**0.75 / (words**0.75).sum()
    with np.errstate(divide="ignore"):
        information = np.log(pairs.data / words[pairs.row] / contexts[pairs.col])
    kept = information > 0
    ppmi = sparse.csr_matrix(
        (information[kept], (pairs.row[kept], pairs.col[kept])), shape=counts.shape
    )
    left, values, _ = svds(ppmi, k=width, v0=np.ones(size))
    vectors = torch.from_numpy((left * np.sqrt(values)).astype(np.float32).copy())
    return 0.1 * vectors / vectors.norm(dim=1).mean() * math.sqrt(width)


def unigram_loss(ids: Tensor, held_out: Tensor, size: int) -> float:
    """Guessing each word of `held_out` by its frequency in `ids`, in nats a word: what a model that knows no context pays."""
    special = len((PAD, UNKNOWN, CLS, SEP, MASK))
    counts = torch.bincount(ids[ids >= special], minlength=size).float()[special:] + 1
    return float(-(counts / counts.sum()).log()[held_out[held_out >= special] - special].mean())
