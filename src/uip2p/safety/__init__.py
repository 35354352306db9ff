"""What a service may decline: a policy over the words of an edit, and a look at the picture that came out.

`policy.load_policy`, `checker.load_checker`, `options`; both say no by `refused.Refused`.
"""
