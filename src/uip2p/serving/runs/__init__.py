"""Look at a training run: its losses, its sample grids, and whether it only copies its input. A tab of `uip2p ui`."""
