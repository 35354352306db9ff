"""The miniature world: drawn scenes, their captions, edits, and the exact answer to every edit."""
