"""The techniques' own pictures of what they have learned: readings of stage "look" in, plotly JSON out."""

from ftkit.pictures.lora import spectra

__all__ = ["spectra"]
