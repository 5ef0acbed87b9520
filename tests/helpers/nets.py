"""Small networks and tasks that every test can afford."""

from functools import lru_cache

import torch
from transformers import AutoModel, BertConfig, DistilBertConfig, GPT2Config, RobertaConfig

from ftkit.model.base import Net, load_base
from ftkit.model.inputs import Texts
from ftkit.tasks.load import load_task
from ftkit.tasks.task import Task, table

SENTENCES = [
    "return the sum of all entries",
    "open the file",
    "a matrix with random rows",
    "close it",
    "the mean of a column of the table",
]


def small_task(name: str = "tiny") -> Task:
    """A task of 24 short sentences in two classes that a model can learn.

    All splits are the same rows.
    """
    texts = [f"{SENTENCES[i % 5]} {'now' if i % 2 else 'later'}" for i in range(24)]
    rows = table(texts, [i % 2 for i in range(24)], ["no", "yes"])
    return Task(name, ("no", "yes"), rows, rows, rows)


SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 8192,
}
CONFIGS = {
    "bert": BertConfig(**SMALL, max_position_embeddings=64),
    "roberta": RobertaConfig(**SMALL, max_position_embeddings=66, pad_token_id=0),
    "distilbert": DistilBertConfig(
        dim=16, n_layers=2, n_heads=2, hidden_dim=24, vocab_size=8192, max_position_embeddings=64
    ),
    "gpt2": GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=8192, n_positions=64),
}
NETS = ("mini", "mini-vit", "distilbert", "roberta", "gpt2")


def task_for(name: str) -> Task:
    """A task for the net of that name."""
    return digits() if name == "mini-vit" else small_task()


@lru_cache
def digits() -> Task:
    return load_task("digits")


def net(name: str, *tasks: Task) -> Net:
    """A new net: a shipped base, or a small random body of that type with mini's tokenizer."""
    tasks = tasks or (task_for(name),)
    if name in ("mini", "mini-vit"):
        return load_base(name, *tasks)
    torch.manual_seed(0)
    pooler = {"add_pooling_layer": False} if name in ("bert", "roberta") else {}
    body = AutoModel.from_config(CONFIGS[name], **pooler)
    with torch.no_grad():
        # Move biases and norms away from their starting values, as in a pretrained body.
        for weight in body.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    return Net(name, body, Texts(load_base("mini").reader.tokenizer, 64), tasks)
