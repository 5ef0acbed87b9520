"""Words before any training: a WordPiece vocabulary, token ids, and word vectors from counts."""

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
    """Train a lower-case WordPiece tokenizer.

    Args:
        texts: the corpus.
        size: the entries of the vocabulary.
        longest: the most tokens that its model takes.
    """
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
    """Join all `texts` to one row of token ids without padding, int64, shape (tokens,).

    Each text is between [CLS] and [SEP].
    """
    rows = []
    for start in range(0, len(texts), 2000):
        ids = tokenizer(texts[start : start + 2000])["input_ids"]
        rows += [np.asarray(row, dtype=np.int64) for row in ids]
    return torch.from_numpy(np.concatenate(rows))


def ppmi_vectors(ids: Tensor, size: int, width: int, window: int = 4) -> Tensor:
    """Make word vectors from counts of neighbouring words, shape (size, width).

    They are the truncated SVD of the positive pointwise mutual information (PPMI) of words that
    are at most `window` apart.

    Source: Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization".
    """
    flat = ids.numpy()
    # 1. Count pairs; a neighbour at distance d counts 1 / d, on either side.
    counts = sparse.csr_matrix((size, size))
    for distance in range(1, window + 1):
        weight = np.full(len(flat) - distance, 1.0 / distance)
        counts = counts + sparse.csr_matrix(
            (weight, (flat[:-distance], flat[distance:])), shape=counts.shape
        )
    pairs = (counts + counts.T).tocoo()
    # 2. log p(word, context) / (p(word) p(context)), with p(context) smoothed by the power 0.75.
    words = np.asarray(pairs.tocsr().sum(1)).ravel()
    contexts = words**0.75 / (words**0.75).sum()
    with np.errstate(divide="ignore"):
        information = np.log(pairs.data / words[pairs.row] / contexts[pairs.col])
    # 3. Keep what is positive, and factorise it.
    kept = information > 0
    ppmi = sparse.csr_matrix(
        (information[kept], (pairs.row[kept], pairs.col[kept])), shape=counts.shape
    )
    left, values, _ = svds(ppmi, k=width, v0=np.ones(size))
    vectors = torch.from_numpy((left * np.sqrt(values)).astype(np.float32).copy())
    return 0.1 * vectors / vectors.norm(dim=1).mean() * math.sqrt(width)


def unigram_loss(ids: Tensor, held_out: Tensor, size: int) -> float:
    """The loss of guessing each word of `held_out` by its frequency in `ids`, in nats a word.

    A model that ignores the context has this loss.
    """
    special = len((PAD, UNKNOWN, CLS, SEP, MASK))
    counts = torch.bincount(ids[ids >= special], minlength=size).float()[special:] + 1
    log_frequencies = (counts / counts.sum()).log()
    words = held_out[held_out >= special] - special
    return float(-log_frequencies[words].mean())
