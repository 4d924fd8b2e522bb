"""A page as one HTML file: blocks, plots and the document around them."""
