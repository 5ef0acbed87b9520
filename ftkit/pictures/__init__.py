"""The techniques' own pictures of what they have learned: readings of stage "look" in, plotly JSON out."""

from ftkit.pictures.bitfit import movements
from ftkit.pictures.distill import teaching
from ftkit.pictures.family import turns
from ftkit.pictures.limits import behind, bills, frontier
from ftkit.pictures.lora import spectra
from ftkit.pictures.multitask import conflicts, front
from ftkit.pictures.sparse import mask
from ftkit.pictures.transfer import between, network

__all__ = ["behind", "between", "bills", "conflicts", "front", "frontier", "mask", "movements", "network", "spectra", "teaching", "turns"]
