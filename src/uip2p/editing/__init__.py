"""Using a trained model: one editor, any picture. `from uip2p.editing.editor import Editor`."""
