"""Values in, plotly figures out."""
