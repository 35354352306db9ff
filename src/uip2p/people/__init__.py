"""The user study: people say which edits match the instruction best, and which leave the rest alone best.

create.py blinds pictures of several methods into a study folder, serve.py asks people, report.py counts. Only create.py
and report.py see the key file that says whose picture is whose; only application.py needs Gradio.
"""
