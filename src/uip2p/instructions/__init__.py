"""From a caption to edits: who writes them (`grammar`, `endpoint`, `local`), which are accepted (`accept`), and the
run that does it for millions (`generate`)."""
