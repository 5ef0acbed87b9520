"""The techniques' own pictures of what they have learned: readings of stage "look" in, plotly JSON out."""

from ftkit.pictures.bitfit import movements
from ftkit.pictures.lora import spectra
from ftkit.pictures.transfer import between, network

__all__ = ["between", "movements", "network", "spectra"]
