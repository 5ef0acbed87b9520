"""How pictures speak of a network's weights."""


def short(name: str) -> str:
    """A weight's name as a person would say it: the block's number and the matrix.

    >>> short("body.encoder.layer.0.attention.self.query.weight"), short("body.layers.2.mlp.fc1.weight")
    ('0 query', '2 fc1')
    >>> short("body.encoder.layer.1.attention.output.dense.weight"), short("body.encoder.layer.1.output.dense.weight")
    ('1 attention output', '1 output')
    """
    parts = [
        part
        for part in name.split(".")
        if part not in ("body", "encoder", "layer", "layers", "self", "dense", "weight", "mlp")
    ]
    if len(parts) > 2 and parts[-1] != "output":
        parts = [parts[0], parts[-1]]
    return " ".join(parts)
