"""`uip2p push`: a trained editor to the hub, with its card; refused where it should not go."""

from __future__ import annotations

import argparse
from pathlib import Path

from uip2p.errors import UserError, first_line
from uip2p.models.publish import Publication, inspect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Sends a model folder to the Hugging Face hub, in one commit. Who you are it knows from `hf auth login` "
        "(or HF_TOKEN)."
    )
    add = parser.add_argument
    add("folder", type=Path, metavar="MODEL_FOLDER", help="such as runs/mini/cycle/model")
    add("repo", metavar="REPO", help="owner/name; made where it is not there yet")
    add("--private", action="store_true", help="nobody else sees it; refused where REPO is there and public")
    add("--message", default="Upload the editor with uip2p", help="of the commit")
    add("--dry-run", action="store_true", help="say what would be sent, and what keeps it from being sent; no network")


def run(args: argparse.Namespace) -> None:
    check_repo(args.repo)
    publication = inspect(args.folder)
    describe(publication, args.repo, args.private)
    if publication.problems:
        raise UserError("not sent:\n" + "\n".join(f"- {problem}" for problem in publication.problems))
    check_model(args.folder)
    if args.dry_run:
        print("A dry run: nothing was sent. All is well; the same command without --dry-run sends it.")
        return
    print(send(publication, args.repo, args.private, args.message))


def check_repo(repo: str) -> None:
    """UserError: no owner/name that the hub would take."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        if repo.count("/") != 1:
            raise HFValidationError("it has to be owner/name")
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"REPO '{repo}': {first_line(error).rstrip('.')}.") from error


def check_model(folder: Path) -> None:
    """UserError: whoever downloads it could not edit with it."""
    from uip2p.models.folder import load_pipeline
    from uip2p.models.parts import check_editor

    check_editor(load_pipeline(folder))


def describe(publication: Publication, repo: str, private: bool) -> None:
    total = sum(size for _, size in publication.files)
    where = f"{repo} (private)" if private else repo
    print(f"{publication.folder} → {where}: {len(publication.files)} files, {megabytes(total)}")
    for name, size in publication.files:
        print(f"  {megabytes(size):>12}  {name}")
    for key, value in publication.metadata.items():
        print(f"  {key}: {', '.join(map(str, value)) if isinstance(value, list) else value}")
    if publication.missing:
        print(f"  The card's head has no {', '.join(publication.missing)}: people find the model less easily.")


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} bytes"


def send(publication: Publication, repo: str, private: bool, message: str) -> str:
    """One commit of exactly the files that were described → its address. UserError: what the hub said."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise UserError(f"{repo}: is there already, and public. Name another, or make it private on the hub first.")
        names = [name for name, _ in publication.files]
        commit = api.upload_folder(
            repo_id=repo, folder_path=publication.folder, commit_message=message, allow_patterns=names
        )
    except (HfHubHTTPError, LocalTokenNotFoundError, OSError) as error:
        raise UserError(f"{repo}: {why(error)}. Nothing of it is half there: a commit is whole.") from error
    return str(commit.commit_url)


def why(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401 or type(error).__name__ == "LocalTokenNotFoundError":
        return "the hub does not know who you are: log in with `hf auth login`, with a token that may write"
    if status == 403:
        return "you may not write there: use your own name or an organisation of yours, and a token that may write"
    return f"the hub did not take it ({first_line(error).rstrip('.')}): run the same command again"
