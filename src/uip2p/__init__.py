"""UIP2P: image editing by instruction, learned without a single edited image."""

__version__ = "0.1.0"
