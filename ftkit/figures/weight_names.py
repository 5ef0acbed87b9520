"""Short names of a network's weights, for figures."""

LEFT_OUT = ("body", "encoder", "layer", "layers", "self", "dense", "weight", "mlp")
"""The parts of a name that say nothing to a reader."""


def short(name: str) -> str:
    """Shorten a weight's name to the number of its block and the name of its matrix.

    >>> short("body.encoder.layer.0.attention.self.query.weight")
    '0 query'
    >>> short("body.layers.2.mlp.fc1.weight")
    '2 fc1'
    >>> short("body.encoder.layer.1.attention.output.dense.weight")
    '1 attention output'
    >>> short("body.encoder.layer.1.output.dense.weight")
    '1 output'
    """
    parts = [part for part in name.split(".") if part not in LEFT_OUT]
    if len(parts) > 2 and parts[-1] != "output":
        parts = [parts[0], parts[-1]]
    return " ".join(parts)
